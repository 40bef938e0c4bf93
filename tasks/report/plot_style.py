"""How the report's plots look: colours, axes, and the SVG that they become.

Dark ink on a transparent ground, for a light card. Drawn through matplotlib's `Figure`, never
pyplot, so no global state is touched.
"""

import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = NDArray[np.float64]

INK, SOFT, GRID = "#26323a", "#5d6b75", "#e3e7e9"
BLUE, ORANGE = "#1f6391", "#b9541a"
DPI = 130
"""Of what is drawn in dots: the hexagons."""


def new_axes(width: float, height: float) -> "tuple[Figure, Axes]":
    """Return a figure of this size in inches and its axes, in the report's style."""
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    dress(axes)
    return figure, axes


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    return figure


def dress(axes: "Axes") -> None:
    """Give axes the report's lines, grid and colours."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.grid(color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelcolor=INK, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9.5)


def svg_of(figure: "Figure") -> str:
    """Return the figure as SVG. A sign that the font lacks becomes a box, without a warning."""
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Glyph.*missing", category=UserWarning)
        figure.draw_without_rendering()  # labels settle: equal axes shrink after the first layout
        figure.savefig(out, format="svg", transparent=True, dpi=DPI, metadata={"Date": None})
    return re.sub(r"<!--.*?-->|(?<=\n) +", "", out.getvalue(), flags=re.DOTALL)
