"""Scores of predictions on rows where the truth is observed: of points, and of distributions.

All are in the truth's unit and lower is better, save `r2` and a coverage. NaN is left out. Rows
that weigh nothing are left out too; ValueError is raised where no row is left. The scores of
distributions are proper: none but the true distribution scores best on average.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CHUNK = 1 << 20
"""How many numbers are worked on at once where samples are streamed."""


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
    """Return the mean continuous ranked probability score of `samples` (n, draws).

    Half the mean distance between two draws, taken from the mean distance of a draw from the
    truth (Gneiting & Raftery 2007), without the bias of few draws (the fair form of Zamo &
    Naveau 2018, hence at least 2). Sorting makes it O(draws log draws) a row.

    Raises ValueError for fewer than 2 draws, and where no row is left.
    """
    draws = _draws(samples)
    seen = np.flatnonzero(_seen(weight, truth, samples))
    rank = 2 * np.arange(1, draws + 1) - draws - 1
    found = np.empty(seen.size)
    for part in _parts(seen.size, draws):
        rows = seen[part]
        # From the truth, so that a common offset costs no digits.
        gap = np.sort(samples[rows] - truth[rows, None], axis=1)
        found[part] = np.abs(gap).mean(axis=1) - gap @ rank / (draws * (draws - 1))
    return float(np.average(found, weights=_of(weight, seen)))


def crps_gaussian(
    truth: Values, mean: Values, spread: Values, weight: Values | None = None
) -> float:
    """Return the mean continuous ranked probability score of Gaussians, in closed form.

    `mean` and `spread` (a standard deviation) are (n,); without a spread the score is the
    absolute error (Gneiting & Raftery 2007). Raises ValueError for a spread below 0, and where no
    row is left.
    """
    seen = _seen(weight, truth, mean, spread)
    gap, scale = truth[seen] - mean[seen], spread[seen]
    if (scale < 0).any():
        raise ValueError(f"spread: expected 0 or more, came {scale.min():g}")
    z = np.divide(gap, scale, out=np.zeros_like(gap), where=scale > 0)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    within = np.array([math.erf(v) for v in z / math.sqrt(2)])
    spread_out = scale * (z * within + 2 * density - 1 / math.sqrt(math.pi))
    found = np.where(scale > 0, spread_out, np.abs(gap))
    return float(np.average(found, weights=_of(weight, seen)))


def crps_quantiles(
    truth: Values, quantiles: Mapping[float, Values], weight: Values | None = None
) -> float:
    """Return the mean continuous ranked probability score that quantiles stand for.

    `quantiles` maps a level to (n,). The score is twice the integral of the pinball loss over
    levels (Gneiting & Ranjan 2011); each level stands here for those nearest to it. The median
    alone scores the absolute error. Raises ValueError where no level is given or one is not
    between 0 and 1, and where no row is left.
    """
    levels = np.array(sorted(quantiles), np.float64)
    if not levels.size or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(f"levels: expected some between 0 and 1, came {levels.tolist()}")
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    seen = _seen(weight, truth, *quantiles.values())
    found = np.zeros(int(seen.sum()))
    for level, share in zip(levels, np.diff(edges), strict=True):
        gap = quantiles[float(level)][seen] - truth[seen]
        found += 2 * share * np.maximum((1 - level) * gap, -level * gap)
    return float(np.average(found, weights=_of(weight, seen)))


def energy_score(truth: Values, samples: Values, weight: Values | None = None) -> float:
    """Return the mean energy score of joint `samples` (n, draws, targets) of `truth` (n, targets).

    The score of crps_samples with Euclidean distances (Gneiting & Raftery 2007), on each row over
    the targets that are observed there; rows with none are left out. Distances add up squares
    over targets, so scale the values first where units differ: the target of the largest numbers
    decides the score otherwise. Rows are streamed: the memory does not grow with their number.

    Raises ValueError for fewer than 2 draws, and where no row is left.
    """
    draws = _draws(samples)
    known = ~np.isnan(truth)
    some = np.where(known.any(axis=1), 0.0, np.nan)
    seen = np.flatnonzero(_seen(weight, some))
    found = np.empty(seen.size)
    for part in _parts(seen.size, draws * truth.shape[1]):
        rows = seen[part]
        gap = samples[rows] - np.where(known[rows], truth[rows], 0.0)[:, None]
        found[part] = _energy(np.where(known[rows][:, None], gap, 0.0))
    kept = ~np.isnan(found)
    if not kept.any():
        raise ValueError("no row has both a truth and a prediction")
    return float(np.average(found[kept], weights=_of(weight, seen[kept])))


def _energy(gap: Values) -> Values:
    """Return the energy score of each row for samples (n, draws, targets) minus the truth."""
    draws = gap.shape[1]
    among = np.zeros(len(gap))
    for step in range(1, draws):  # pairs that lie `step` apart: no array of all pairs is made
        among += _lengths(gap[:, step:] - gap[:, :-step]).sum(axis=1)
    return np.asarray(_lengths(gap).mean(axis=1) - among / (draws * (draws - 1)))


def _lengths(vectors: Values) -> Values:
    return np.asarray(np.sqrt(np.einsum("...t,...t->...", vectors, vectors)))


def coverage(truth: Values, lower: Values, upper: Values, weight: Values | None = None) -> Coverage:
    """Return the share of truths within `lower` and `upper`, each (n,), limits included.

    A width is `upper` minus `lower`. Raises ValueError where no row is left.
    """
    seen = _seen(weight, truth, lower, upper)
    y, low, high, w = truth[seen], lower[seen], upper[seen], _of(weight, seen)
    inside = float(np.average((low <= y) & (y <= high), weights=w))
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


def _draws(samples: Values) -> int:
    """Return how many draws there are of each row, which must be 2 at least."""
    draws = int(samples.shape[1])
    if draws < 2:
        raise ValueError(f"samples: expected 2 draws or more of each row, came {draws}")
    return draws


def _parts(rows: int, numbers: int) -> Iterator[slice]:
    """Yield slices over rows of `numbers` numbers each that together hold CHUNK at most."""
    step = max(1, CHUNK // numbers)
    return (slice(start, start + step) for start in range(0, rows, step))
