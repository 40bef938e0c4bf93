"""The report's plots: learning curves, prediction against truth, residuals over time.

In: arrays in a target's unit. Out: one SVG as text.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.report.plot_style import BLUE, INK, ORANGE, SOFT, Values, new_axes, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DENSITY = ("#d3e3ee", "#7fb0cf", "#2f78a8", "#0f3a5a")
CELLS = 40
"""Hexagons along an axis."""
PERIODS = 60
"""The most periods that a residual plot is divided into."""


def learning_curves(curves: list[dict[str, Any]]) -> str | None:
    """Return the members' train and validation losses by epoch; None where there are none."""
    curves = [c for c in curves if c["loss"] and c["val_loss"]]
    if not curves:
        return None
    figure, axes = new_axes(7.6, 3.3)
    for i, curve in enumerate(curves):
        epochs = np.arange(1, len(curve["loss"]) + 1)
        names = ("train", "validation", "best epoch") if i == 0 else (None, None, None)
        axes.plot(epochs, curve["loss"], color=ORANGE, ls=(0, (4, 2)), lw=1.4, label=names[0])
        axes.plot(epochs, curve["val_loss"], color=BLUE, lw=1.6, label=names[1])
        first = int(curve.get("first", 0))
        best = first + int(np.argmin(curve["val_loss"][first:]))
        axes.plot(best + 1, curve["val_loss"][best], "o", color=BLUE, ms=7, mfc="white", mew=1.8,
                  zorder=4, label=names[2])  # fmt: skip
    if len(curves) == 1:
        axes.axvline(best + 1, color=SOFT, lw=0.8, ls=":")
    _loss_scale(axes, curves)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss, scaled targets")
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return svg_of(figure)


def _loss_scale(axes: "Axes", curves: list[dict[str, Any]]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    losses = np.array([v for c in curves for v in (*c["loss"], *c["val_loss"])])
    if losses.min() > 0 and losses.max() > 8 * losses.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def truth_against_prediction(unit: str, truth: Values, predicted: Values) -> str | None:
    """Return a hexbin of predictions (n,) over truth (n,) with equal axes and the 1:1 line.

    NaN in either is left out; None where nothing is left.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import MaxNLocator

    seen = np.isfinite(truth) & np.isfinite(predicted)
    if not seen.any():
        return None
    x, y = truth[seen], predicted[seen]
    low, high = _limits(x, y)
    figure, axes = new_axes(4.3, 3.7)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    cells = axes.hexbin(
        x,
        y,
        gridsize=(CELLS, round(CELLS / 3**0.5)),
        extent=(low, high, low, high),
        bins="log" if len(x) > 500 else None,
        mincnt=1,
        cmap=LinearSegmentedColormap.from_list("density", DENSITY),
        linewidths=0.15,
        rasterized=True,
    )
    axes.axline((low, low), (high, high), color=INK, lw=1.0)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axes.annotate("1:1", (0.915, 0.985), xycoords="axes fraction", ha="right", va="top",
                  fontsize=8.5, color=INK, path_effects=halo)  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.ticklabel_format(useOffset=False)
    _density_bar(figure, axes, cells)
    axes.set_xlabel(f"truth, {unit}", parse_math=False)
    axes.set_ylabel(f"prediction, {unit}", parse_math=False)
    return svg_of(figure)


def _limits(x: Values, y: Values) -> tuple[float, float]:
    """Return one range that holds both, with a margin, also where they are one number."""
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.03 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _density_bar(figure: "Figure", axes: "Axes", cells: Any) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    counts = cells.get_array()
    if counts is None or counts.max() <= counts.min():
        return
    bar = figure.colorbar(cells, ax=axes, fraction=0.04, pad=0.03, aspect=28)
    bar.outline.set_visible(False)
    logarithmic = type(cells.norm).__name__ == "LogNorm"
    bar.locator = LogLocator(subs=(1.0, 3.0)) if logarithmic else MaxNLocator(5, integer=True)
    bar.formatter = StrMethodFormatter("{x:,.0f}")
    bar.update_ticks()
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=SOFT)
    bar.set_label("rows in a cell", fontsize=8.5, color=SOFT)


def residuals_over_time(
    unit: str, name: str, time: NDArray[Any], truth: Values, predicted: Values
) -> str | None:
    """Return how prediction - truth (n,) is spread in each period of `time` (n,).

    `time` is datetime64 or a number, `name` its label. None where it does not vary.
    """
    missing = np.isnat(time) if time.dtype.kind == "M" else ~np.isfinite(time)
    seen = np.isfinite(truth) & np.isfinite(predicted) & ~missing
    when, residual = time[seen], (predicted - truth)[seen]
    if not len(when) or when.min() == when.max():
        return None
    centers, spread = periods(when, residual)
    figure, axes = new_axes(5.6, 3.7)
    bands = ((0, 4, "#c9ddea", "90 % of the rows"), (1, 3, "#8fb9d3", "half of the rows"))
    for lower, upper, color, label in bands:
        axes.fill_between(
            centers, spread[:, lower], spread[:, upper], color=color, lw=0, label=label
        )
    axes.plot(centers, spread[:, 2], color=BLUE, lw=1.6, label="median")
    axes.axhline(0, color=INK, lw=1.0)
    _time_scale(axes, centers)
    span = f", {when.min():.10} to {when.max():.10}" if when.dtype.kind == "M" else ""
    axes.set_xlabel(f"{name}{span}", parse_math=False)
    axes.set_ylabel(f"prediction − truth, {unit}", parse_math=False)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, labelcolor=INK, fontsize=8.5)
    return svg_of(figure)


def periods(when: NDArray[Any], residual: Values) -> tuple[NDArray[Any], Values]:
    """Return the middles of equal periods (p,) and in each the residual's quantiles (p, 5).

    The quantiles are 0.05, 0.25, 0.5, 0.75 and 0.95; NaN where a period holds no row.
    """
    is_time = when.dtype.kind == "M"
    ticks = when.astype("datetime64[us]").astype("int64") if is_time else when
    ticks = ticks.astype("float64")
    count = int(np.clip(len(ticks) // 30, 2, PERIODS))
    edges = np.linspace(ticks.min(), ticks.max(), count + 1)
    index = np.clip(np.searchsorted(edges, ticks, side="right") - 1, 0, count - 1)
    spread = np.full((count, 5), np.nan)
    for i in np.unique(index):
        spread[i] = np.quantile(residual[index == i], [0.05, 0.25, 0.5, 0.75, 0.95])
    centers = (edges[1:] + edges[:-1]) / 2
    return (centers.astype("int64").astype("datetime64[us]") if is_time else centers), spread


def _time_scale(axes: "Axes", centers: NDArray[Any]) -> None:
    if centers.dtype.kind != "M":
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    names = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
    starts = ["", "%b\n%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, formats=names, zero_formats=starts, show_offset=False
    )
    axes.xaxis.set_major_formatter(formatter)
