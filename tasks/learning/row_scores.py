"""Proper scores of distributions row by row, for means and for sums alike.

Each function takes rows whose values are all known, and returns a score a row, (n,), in the
truth's unit; lower is better.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CHUNK = 1 << 20
"""How many numbers are worked on at once where samples are streamed."""


def crps_of_samples(truth: Values, samples: Values) -> Values:
    """Return the continuous ranked probability score of `samples` (n, draws).

    Half the mean distance between two draws, taken from the mean distance of a draw from the
    truth (Gneiting & Raftery 2007), without the bias of few draws (the fair form of Zamo &
    Naveau 2018, hence at least 2). Sorting makes it O(draws log draws) a row.

    Raises ValueError for fewer than 2 draws.
    """
    draws = draws_of(samples)
    rank = 2 * np.arange(1, draws + 1) - draws - 1
    found = np.empty(len(truth))
    for part in chunks(len(truth), draws):
        # From the truth, so that a common offset costs no digits.
        gap = np.sort(samples[part] - truth[part, None], axis=1)
        found[part] = np.abs(gap).mean(axis=1) - gap @ rank / (draws * (draws - 1))
    return found


def crps_of_gaussian(truth: Values, mean: Values, spread: Values) -> Values:
    """Return the continuous ranked probability score of Gaussians, in closed form.

    `mean` and `spread` (a standard deviation) are (n,); without a spread the score is the
    absolute error (Gneiting & Raftery 2007). Raises ValueError for a spread below 0.
    """
    from scipy.special import erf

    gap = truth - mean
    if (spread < 0).any():
        raise ValueError(f"spread: expected 0 or more, came {spread.min():g}")
    z = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    spread_out = spread * (z * erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))
    return np.where(spread > 0, spread_out, np.abs(gap))


def crps_of_quantiles(truth: Values, quantiles: Mapping[float, Values]) -> Values:
    """Return the continuous ranked probability score that quantiles stand for.

    `quantiles` maps a level to (n,). The score is twice the integral of the pinball loss over
    levels (Gneiting & Ranjan 2011); each level stands here for those nearest to it. The median
    alone scores the absolute error. Raises ValueError where no level is given or one is not
    between 0 and 1.
    """
    levels = np.array(sorted(quantiles), np.float64)
    if not levels.size or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(f"levels: expected some between 0 and 1, came {levels.tolist()}")
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    found = np.zeros(len(truth))
    for level, share in zip(levels, np.diff(edges), strict=True):
        gap = quantiles[float(level)] - truth
        found += 2 * share * np.maximum((1 - level) * gap, -level * gap)
    return found


def log_density(truth: Values, mean: Values, spread: Values) -> Values:
    """Return the log density of normal distributions in nats, each (n,), for spreads above 0."""
    z = (truth - mean) / spread
    return np.asarray(-0.5 * z**2 - np.log(spread) - 0.5 * math.log(2 * math.pi))


def energy_of_samples(truth: Values, samples: Values) -> Values:
    """Return the energy score of joint `samples` (n, draws, targets) of `truth` (n, targets).

    The score of crps_of_samples with Euclidean distances (Gneiting & Raftery 2007), on each row
    over the targets that are observed there. Rows are streamed: the memory does not grow with
    their number. A row with an unknown sample of an observed target has none, NaN.

    Raises ValueError for fewer than 2 draws.
    """
    draws = draws_of(samples)
    known = ~np.isnan(truth)
    found = np.empty(len(truth))
    for part in chunks(len(truth), draws * truth.shape[1]):
        gap = samples[part] - np.where(known[part], truth[part], 0.0)[:, None]
        found[part] = _energy(np.where(known[part][:, None], gap, 0.0))
    return found


def _energy(gap: Values) -> Values:
    """Return the energy score of each row for samples (n, draws, targets) minus the truth."""
    draws = gap.shape[1]
    among = np.zeros(len(gap))
    for step in range(1, draws):  # pairs that lie `step` apart: no array of all pairs is made
        among += lengths(gap[:, step:] - gap[:, :-step]).sum(axis=1)
    return np.asarray(lengths(gap).mean(axis=1) - among / (draws * (draws - 1)))


def variogram_of_samples(truth: Values, samples: Values) -> Values:
    """Return the variogram score of order 0.5 (Scheuerer & Hamill 2015), as energy_of_samples.

    The mean over pairs of targets that are observed in the row, of the squared difference between
    the root of their distance in truth and its mean over the draws; NaN where there is no pair.
    A point prediction is a single draw.
    """
    targets = truth.shape[1]
    total, pairs = np.zeros(len(truth)), np.zeros(len(truth))
    for i in range(targets):
        for j in range(i + 1, targets):
            own = np.sqrt(np.abs(truth[:, i] - truth[:, j]))
            drawn = np.sqrt(np.abs(samples[:, :, i] - samples[:, :, j])).mean(axis=1)
            known = ~np.isnan(own)
            total += np.where(known, (own - drawn) ** 2, 0.0)
            pairs += known
    found = np.divide(total, pairs, out=np.full(len(truth), np.nan), where=pairs > 0)
    return np.asarray(found, np.float64)


def lengths(vectors: Values) -> Values:
    """Return the Euclidean length of vectors along the last axis."""
    return np.asarray(np.sqrt(np.einsum("...t,...t->...", vectors, vectors)))


def draws_of(samples: Values) -> int:
    """Return how many draws there are of each row, which must be 2 at least."""
    draws = int(samples.shape[1])
    if draws < 2:
        raise ValueError(f"samples: expected 2 draws or more of each row, came {draws}")
    return draws


def chunks(rows: int, numbers: int) -> Iterator[slice]:
    """Yield slices over rows of `numbers` numbers each that together hold CHUNK at most."""
    step = max(1, CHUNK // numbers)
    return (slice(start, start + step) for start in range(0, rows, step))


def within(truth: Values, lower: Values, upper: Values) -> NDArray[np.bool_]:
    """Return which truths lie between two ends, the ends included."""
    return np.asarray((lower <= truth) & (truth <= upper))
