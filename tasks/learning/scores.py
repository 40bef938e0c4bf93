"""Scores of predictions on rows where the truth is observed: of points, and of distributions.

All are in the truth's unit and lower is better, save `r2` and a coverage. NaN is left out. Rows
that weigh nothing are left out too; ValueError is raised where no row is left. The scores of
distributions are proper: none but the true distribution scores best on average.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.row_scores import (
    chunks,
    crps_of_gaussian,
    crps_of_quantiles,
    crps_of_samples,
    draws_of,
    energy_of_samples,
    within,
)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """The errors of one target: over how many rows, mean absolute, root mean square, R².

    `r2` is None where the truth does not vary, since it is undefined there.
    """

    rows: int
    mae: float
    rmse: float
    r2: float | None


@dataclass(frozen=True)
class Coverage:
    """How many rows were looked at, the share of truths inside, and the mean width."""

    rows: int
    inside: float
    width: float


def errors(truth: Values, predicted: Values, weight: Values | None = None) -> Errors:
    """Return the errors of `predicted` (n,) against `truth` (n,), NaN in either left out.

    So are rows that weigh nothing.

    Raises ValueError where no row is left.
    """
    seen = _seen(weight, truth, predicted)
    y, p, w = truth[seen], predicted[seen], _of(weight, seen)
    gap = p - y
    mse = float(np.average(gap**2, weights=w))
    mae = float(np.average(np.abs(gap), weights=w))
    center = np.average(y, weights=w)
    variance = float(np.average((y - center) ** 2, weights=w))
    varies = variance > 1e-20 * float(center) ** 2
    return Errors(int(seen.sum()), mae, mse**0.5, 1 - mse / variance if varies else None)


def crps_samples(truth: Values, samples: Values, weight: Values | None = None) -> float:
    """Return the mean of row_scores.crps_of_samples, of `samples` (n, draws).

    Raises ValueError for fewer than 2 draws, and where no row is left.
    """
    draws_of(samples)
    seen = np.flatnonzero(_seen(weight, truth, samples))
    found = np.empty(seen.size)
    for part in chunks(seen.size, samples.shape[1]):  # so that no copy of all samples is made
        found[part] = crps_of_samples(truth[seen[part]], samples[seen[part]])
    return float(np.average(found, weights=_of(weight, seen)))


def crps_gaussian(
    truth: Values, mean: Values, spread: Values, weight: Values | None = None
) -> float:
    """Return the mean of row_scores.crps_of_gaussian, each (n,).

    Raises ValueError for a spread below 0, and where no row is left.
    """
    seen = _seen(weight, truth, mean, spread)
    found = crps_of_gaussian(truth[seen], mean[seen], spread[seen])
    return float(np.average(found, weights=_of(weight, seen)))


def crps_quantiles(
    truth: Values, quantiles: Mapping[float, Values], weight: Values | None = None
) -> float:
    """Return the mean of row_scores.crps_of_quantiles; `quantiles` maps a level to (n,).

    Raises ValueError where no level is given or one is not between 0 and 1, and where no row is
    left.
    """
    seen = _seen(weight, truth, *quantiles.values())
    found = crps_of_quantiles(truth[seen], {q: v[seen] for q, v in quantiles.items()})
    return float(np.average(found, weights=_of(weight, seen)))


def energy_score(truth: Values, samples: Values, weight: Values | None = None) -> float:
    """Return the mean energy score of joint `samples` (n, draws, targets) of `truth` (n, targets).

    That of row_scores.energy_of_samples; rows with no observed target are left out. Distances add
    up squares over targets, so scale the values first where units differ: the target of the
    largest numbers decides the score otherwise.

    Raises ValueError for fewer than 2 draws, and where no row is left.
    """
    draws_of(samples)
    known = ~np.isnan(truth)
    some = np.where(known.any(axis=1), 0.0, np.nan)
    seen = np.flatnonzero(_seen(weight, some))
    found = np.empty(seen.size)
    for part in chunks(seen.size, samples.shape[1] * truth.shape[1]):
        found[part] = energy_of_samples(truth[seen[part]], samples[seen[part]])
    kept = ~np.isnan(found)
    if not kept.any():
        raise ValueError("no row has both a truth and a prediction")
    return float(np.average(found[kept], weights=_of(weight, seen[kept])))


def coverage(truth: Values, lower: Values, upper: Values, weight: Values | None = None) -> Coverage:
    """Return the share of truths within `lower` and `upper`, each (n,), limits included.

    A width is `upper` minus `lower`. Raises ValueError where no row is left.
    """
    seen = _seen(weight, truth, lower, upper)
    y, low, high, w = truth[seen], lower[seen], upper[seen], _of(weight, seen)
    inside = float(np.average(within(y, low, high), weights=w))
    return Coverage(int(seen.sum()), inside, float(np.average(high - low, weights=w)))


def _seen(weight: Values | None, truth: Values, *others: Values) -> NDArray[np.bool_]:
    """Return which rows count: all of their values are known, and they weigh something."""
    seen = ~np.isnan(truth)
    for values in others:
        missing = np.isnan(values)
        seen &= ~(missing.any(axis=1) if missing.ndim == 2 else missing)
    if weight is not None:
        seen &= weight > 0
    if not seen.any():
        raise ValueError("no row has both a truth and a prediction")
    return seen


def _of(weight: Values | None, rows: NDArray[Any]) -> Any:
    return None if weight is None else weight[rows]
