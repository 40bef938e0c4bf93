"""Parts of Predictions: fewer rows that are answered, other targets, each array alike."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.learning.predictions import Interval, Predictions

Values = NDArray[np.float64]


def only(found: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    """Return predictions with no answer but to the `rows` (n,) that are told."""

    def part(values: Values) -> Values:
        return np.where(rows.reshape(-1, *(1,) * (values.ndim - 1)), values, np.nan)

    return found if rows.all() else _mapped(found, found.targets, part)


def on_targets(found: Predictions, targets: Sequence[str]) -> Predictions:
    """Return predictions of other targets, or in another order: NaN for those that lack."""
    if found.targets == tuple(targets):
        return found
    places = [found.targets.index(t) if t in found.targets else -1 for t in targets]
    absent = np.array(places) < 0
    return _mapped(found, tuple(targets), lambda v: np.where(absent, np.nan, v[..., places]))


def _mapped(
    found: Predictions, targets: tuple[str, ...], change: Callable[[Values], Values]
) -> Predictions:
    """Return predictions of `targets` whose arrays, targets last, are all changed alike."""

    def ends(pair: Interval) -> Interval:
        return change(pair[0]), change(pair[1])

    return Predictions(
        targets=targets,
        mean=change(found.mean),
        spread=None if found.spread is None else change(found.spread),
        quantiles=found.quantiles and {q: change(v) for q, v in found.quantiles.items()},
        samples=None if found.samples is None else change(found.samples),
        intervals=found.intervals and {q: ends(v) for q, v in found.intervals.items()},
        regions=found.regions and {q: ends(v) for q, v in found.regions.items()},
    )
