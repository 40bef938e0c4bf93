"""Plots of intervals and of residuals together: coverage, histograms of PIT, a heat map.

In: shares, histograms, a matrix. Out: one SVG as text.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.report.intervals import Curve
from tasks.report.plot_style import (
    BLUE,
    GRID,
    INK,
    ORANGE,
    SOFT,
    Values,
    dress,
    new_axes,
    new_figure,
    svg_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED = 8
"""The most targets with a colour of their own; of more, each is a thin grey line."""
MOST_HISTOGRAMS = 12
COLORS = (BLUE, ORANGE, "#3d7a4f", "#7a4f9a", "#a3862a", "#b0476e", "#3f9aa8", SOFT)
MARKS = "osD^vPX*"
MOST_NUMBERS = 12
"""The most rows of a heat map whose cells hold their number."""


def coverage(curves: Sequence[Curve]) -> str | None:
    """Return how far the share of truths inside is from each level, a line a target."""
    from matplotlib.ticker import PercentFormatter

    curves = [c for c in curves if c.levels]
    if not curves:
        return None
    figure, axes = new_axes(5.2, 4.2)
    axes.axhline(0, color=INK, lw=1.0, zorder=1)
    for i, curve in enumerate(curves):
        points = 100 * (np.array(curve.coverage) - np.array(curve.levels))
        if len(curves) > MOST_NAMED:
            axes.plot(curve.levels, points, color=SOFT, lw=0.8, alpha=0.5)
            continue
        axes.plot(
            curve.levels, points, color=COLORS[i], marker=MARKS[i], ms=5, lw=1.3,
            label=curve.target,
        )  # fmt: skip
    most = max(1.0, 1.15 * max(map(abs, axes.dataLim.intervaly)))
    axes.set_ylim(-most, most)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("level of the interval")
    axes.set_ylabel("truths inside − level, percentage points")
    _sides(axes)
    if len(curves) <= MOST_NAMED:
        legend = figure.legend(loc="outside upper center", ncols=3, frameon=False, labelcolor=INK,
                               fontsize=8.5)  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    return svg_of(figure)


def _sides(axes: "Axes") -> None:
    """Say what it means to lie above the line, and below."""
    for text, height, side in (("too wide", 0.985, "top"), ("too narrow", 0.015, "bottom")):
        axes.annotate(text, (0.99, height), xycoords="axes fraction", ha="right", va=side,
                      fontsize=8.5, color=SOFT)  # fmt: skip


def places(curves: Sequence[Curve]) -> str | None:
    """Return a histogram a target of where the truth falls in its distribution."""
    curves = [c for c in curves if c.pit][:MOST_HISTOGRAMS]
    if not curves:
        return None
    across = min(3, len(curves))
    down = math.ceil(len(curves) / across)
    figure = new_figure(1.55 * across + 0.55, max(3.0, 1.55 * down + 0.6))
    top = 1.08 * max(max(c.pit) * len(c.pit) for c in curves)
    for i, curve in enumerate(curves):
        axes = figure.add_subplot(down, across, i + 1)
        dress(axes)
        _histogram(axes, curve, top)
        if i % across:
            axes.set_yticklabels([])
    figure.supxlabel("place of the truth in its distribution", fontsize=9.5, color=INK)
    figure.supylabel("rows, as a multiple of an even share", fontsize=9.5, color=INK)
    return svg_of(figure)


def _histogram(axes: "Axes", curve: Curve, top: float) -> None:
    bins = len(curve.pit)
    axes.bar(
        (np.arange(bins) + 0.5) / bins,
        np.array(curve.pit) * bins,
        width=0.94 / bins,
        color="#8fb9d3",
    )
    axes.axhline(1, color=INK, lw=1.0)
    axes.set(xlim=(0, 1), ylim=(0, max(top, 1.5)), xticks=[0, 0.5, 1])
    axes.set_title(curve.target, fontsize=8.5, color=INK, loc="left", parse_math=False)
    axes.grid(visible=False, axis="x")


def heat_map(names: Sequence[str], found: Values) -> str:
    """Return a matrix (n, n) of correlations as a heat map, the numbers in it where few."""
    from matplotlib.colors import LinearSegmentedColormap

    count = len(names)
    size = min(9.0, 2.4 + 0.55 * count) if count <= MOST_NUMBERS else min(9.0, 2.6 + 0.26 * count)
    figure, axes = new_axes(size + 0.9, size)
    colors = LinearSegmentedColormap.from_list("both", ["#b9541a", "#f6f4f1", "#1f6391"], bad=GRID)
    shown = np.where(np.eye(count) > 0, np.nan, found)
    cells = axes.pcolormesh(shown, cmap=colors, vmin=-1, vmax=1, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    ticks = np.arange(count) + 0.5
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    axes.tick_params(length=0, labelsize=9 if count <= MOST_NUMBERS else 7.5)
    if count <= MOST_NUMBERS:
        _numbers(axes, found)
    bar = figure.colorbar(cells, ax=axes, fraction=0.035, pad=0.03, aspect=28)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=SOFT)
    bar.set_label("correlation of residuals", fontsize=8.5, color=SOFT)
    return svg_of(figure)


def _numbers(axes: "Axes", found: Values) -> None:
    for i, row in enumerate(found):
        for j, value in enumerate(row):
            if i != j and np.isfinite(value):
                color = "white" if abs(value) > 0.6 else INK
                text = f"{value:.2f}".replace("-", "−")
                axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8.5,
                          color=color)  # fmt: skip
