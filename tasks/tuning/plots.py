"""The plots of a study: history, importance of fields, parallel coordinates, the front.

In: trials. Out: one SVG as text, None where there is too little to draw.
"""

import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.tuning import Range
from tasks.report.plot_style import BLUE, GRID, INK, ORANGE, SOFT, new_axes, svg_of
from tasks.tuning.space import Space
from tasks.tuning.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 4
"""Fewer complete trials say nothing of the importance of fields."""
UNITS = {"error": "validation error", "latency": "ms per 1,000 rows", "parameters": "parameters"}


def complete(trials: Sequence[Trial]) -> list[Trial]:
    """Return the complete trials."""
    return [t for t in trials if t.state == "complete"]


def history(trials: Sequence[Trial]) -> str | None:
    """Return each trial's error in order, with the least so far."""
    done = complete(trials)
    if not done:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_axes(7.6, 3.0)
    order = np.arange(len(trials))
    at = [i for i, t in zip(order, trials, strict=True) if t.state == "complete"]
    errors = np.array([t.error for t in done])
    least = np.minimum.accumulate(errors)
    axes.plot(at, errors, "o", color=BLUE, ms=4.5, alpha=0.75, label="trial")
    axes.step(at, least, where="post", color=ORANGE, lw=1.6, label="least so far")
    for state, sign, color in (("pruned", "|", SOFT), ("failed", "x", INK)):
        gone = [i for i, t in zip(order, trials, strict=True) if t.state == state]
        if gone:
            axes.plot(gone, [_top(errors)] * len(gone), sign, color=color, ms=6, label=state)
    axes.set_ylim(errors.min() - 0.05 * (_top(errors) - errors.min()), None)
    axes.set_xlabel("trial")
    axes.set_ylabel("validation error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return svg_of(figure)


def _top(errors: Any) -> float:
    """Return the error that the axis ends at: far outliers would flatten all others."""
    most = float(np.quantile(errors, 0.95))
    return most if most > errors.min() else float(errors.min()) + 1e-3


def importances(space: Space, trials: Sequence[Trial]) -> dict[str, float]:
    """Return how much of the spread of errors each field explains, most first, as shares.

    Of the fields that every trial has. Empty where there are too few trials.
    """
    import optuna
    from optuna.trial import create_trial

    done = [t for t in complete(trials) if space.holds(t.changes)]
    if len(done) < LEAST or len({t.error for t in done}) < 2:
        return {}
    study = optuna.create_study()
    for t in done:
        study.add_trial(
            create_trial(
                params=space.params(t.changes),
                distributions=space.distributions(t.changes),
                value=t.error,
            )
        )
    shared = set.intersection(*(set(t.changes) for t in done))
    varied = [f for f in shared if len({json.dumps(t.changes[f]) for t in done}) > 1]
    if not varied:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=judge, params=varied)
    return {k: float(v) for k, v in found.items()}


def importance(found: dict[str, float]) -> str | None:
    """Return a bar for each field."""
    if not found:
        return None
    figure, axes = new_axes(7.6, 0.8 + 0.32 * len(found))
    names = list(found)[::-1]
    axes.barh(names, [found[n] for n in names], color=BLUE, height=0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the spread of errors")
    return svg_of(figure)


def parallel(space: Space, trials: Sequence[Trial]) -> str | None:
    """Return a line per complete trial across the fields' values; the better, the darker."""
    done = sorted(
        (t for t in complete(trials) if space.holds(t.changes)), key=lambda t: -t.error
    )  # the best is drawn last
    if len(done) < 2:
        return None
    from matplotlib import colormaps

    fields = list(space.fields)
    figure, axes = new_axes(max(7.6, 1.35 * (len(fields) + 1)), 3.8)
    ranks = np.argsort(np.argsort([t.error for t in done])) / (len(done) - 1)
    errors = np.array([t.error for t in done])
    low, high = errors.min(), max(_top(errors), errors.min() + 1e-9)
    shades = colormaps["YlGnBu"]
    for t, rank in zip(done, ranks, strict=True):
        heights = [_height(space, f, t) for f in fields]
        heights.append(min((t.error - low) / (high - low), 1.0))
        axes.plot(
            heights, color=shades(0.95 - 0.75 * rank), lw=2.2 if rank == 0 else 1.1, alpha=0.85
        )
    _scales(axes, space, fields, low, high)
    return svg_of(figure)


def _scales(axes: "Axes", space: Space, fields: list[str], low: float, high: float) -> None:
    axes.set_xticks(range(len(fields) + 1), [*fields, "error"])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xlim(-0.2, len(fields) + 0.6)
    for i in range(len(fields) + 1):
        axes.axvline(i, color=GRID, lw=1, zorder=0)
        ends = {0.0: f"{low:.3g}", 1.0: f"{high:.3g}"}
        for height, text in (_marks(space, fields[i]) if i < len(fields) else ends).items():
            axes.text(
                i + 0.04,
                height,
                text,
                fontsize=7.5,
                color=INK,
                va="center",
                zorder=5,
                bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 1},
            )


def _marks(space: Space, field: str) -> dict[float, str]:
    values = space.fields[field]
    if isinstance(values, Range):
        return {0.0: f"{values.low:g}", 1.0: f"{values.high:g}"}
    last = max(len(values) - 1, 1)
    return {i / last: _short(v) for i, v in enumerate(values)}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 18 else f"{text[:17]}…"


def _height(space: Space, field: str, trial: Trial) -> float:
    """Return where a trial's value stands on a field's axis; NaN where it has none."""
    values = space.fields[field]
    if field not in trial.changes:
        return float("nan")
    value = trial.changes[field]
    if not isinstance(values, Range):
        known = [json.dumps(v) for v in values]
        return known.index(json.dumps(value)) / max(len(known) - 1, 1)
    scale = np.log if values.log else float
    return float((scale(value) - scale(values.low)) / (scale(values.high) - scale(values.low)))


def fronts(trials: Sequence[Trial], numbers: Sequence[int], objectives: Sequence[str]) -> list[str]:
    """Return the error against each other objective, with the trials that no other beats."""
    from matplotlib.ticker import StrMethodFormatter

    found = []
    done = complete(trials)
    for name in objectives:
        if name == "error" or not done:
            continue
        figure, axes = new_axes(7.6, 3.4)
        best = sorted((t for t in done if t.number in numbers), key=lambda t: t.values[name])
        axes.plot([t.values[name] for t in done], [t.error for t in done], "o", color=BLUE, ms=4.5,
                  alpha=0.6, label="trial")  # fmt: skip
        axes.plot([t.values[name] for t in best], [t.error for t in best], "o-", color=ORANGE, ms=6,
                  mfc="white", mew=1.6, lw=1.2, label="no other beats it")  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
        axes.set_xlabel(UNITS[name])
        axes.set_ylabel("validation error")
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        found.append(svg_of(figure))
    return found
