"""Fit the transforms of targets on train values."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tasks.learning.transforms import Log1p, Quantile, Transform, YeoJohnson, bend

Float = NDArray[np.float64]

MOST_KNOTS = 1_000
"""The most quantiles that a Quantile transform holds."""
MOST_SAMPLE = 10_000
"""The most values that a power is fitted on; of more, as many quantiles stand for all."""
LEAST_SLOPE = 1e-3
"""How near to nothing 1 + |value| to its exponent may come at an end of the train range, and its
inverse how great. Beyond, the ends are bent so much that float32 tells values apart no more."""
MOST_POWER = 6.0


def fit_transform(method: str, values: Float) -> Transform | None:
    """Return the transform that `method` (a target's `transform`) names; None for an affine one.

    `values` (n,) are in units, with NaN for missing.
    """
    known = values[~np.isnan(values)]
    match method:
        case "log1p":
            return Log1p()
        case "yeo_johnson":
            return _yeo_johnson(known)
        case "quantile":
            return _quantile(known)
    return None


def _quantile(known: Float) -> Quantile:
    """Return the map of the values' quantiles; ties are one knot, at their middle level."""
    if not known.size:
        return Quantile((0.0,), (0.0,))
    count = min(MOST_KNOTS, known.size)
    levels = (np.arange(count) + 0.5) / count
    quantiles = np.quantile(known, levels, method="hazen")
    distinct, place, ties = np.unique(quantiles, return_inverse=True, return_counts=True)
    middle = np.bincount(place, levels) / ties
    normal = map(NormalDist().inv_cdf, middle)
    return Quantile(tuple(distinct.tolist()), tuple(normal))


def _yeo_johnson(known: Float) -> YeoJohnson:
    """Return the most likely power, of values in units of their own quartile range.

    A power of plain values would depend on the unit that they are in: values far below 1 are
    changed by none.
    """
    unit = _spread(known)
    if not unit:
        return YeoJohnson(power=1.0, unit=1.0, least=0.0, greatest=0.0)
    scaled = known / unit
    least, greatest = float(scaled.min()), float(scaled.max())
    up, down = _room(greatest), _room(-least)
    sample = scaled
    if scaled.size > MOST_SAMPLE:
        sample = np.quantile(scaled, (np.arange(MOST_SAMPLE) + 0.5) / MOST_SAMPLE)
    power = _greatest(_likelihood(sample), max(-up, 2 - down), min(up, 2 + down))
    return YeoJohnson(power, unit, least, greatest)


def _spread(known: Float) -> float:
    """Return the quartile range, the deviation where that is nothing, or 0 where all are alike."""
    if not known.size or known.std() <= 1e-12 * abs(known.mean()):
        return 0.0
    lower, upper = np.quantile(known, [0.25, 0.75])
    return float(upper - lower or known.std())


def _room(end: float) -> float:
    """Return how far from 0 the exponent of an end of the range may lie; 1 at the least."""
    room = -np.log(LEAST_SLOPE) / np.log1p(end) if end > 0 else MOST_POWER
    return float(np.clip(room, 1.0, MOST_POWER))


def _likelihood(sample: Float) -> Callable[[float], float]:
    """Return the profile log-likelihood per value, by the power (Yeo & Johnson 2000, eq. 3.1)."""
    jacobian = float(np.mean(np.sign(sample) * np.log1p(np.abs(sample))))

    def at(power: float) -> float:
        deviation = float(np.std(bend(sample, power)))
        return (power - 1) * jacobian - float(np.log(max(deviation, 1e-300)))

    return at


def _greatest(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function is greatest: on a grid, then by golden section beside the best."""
    grid = np.linspace(low, high, 33)
    best = int(np.argmax([function(float(p)) for p in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 32)])
    ratio = (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if function(left) > function(right) else (left, high)
    return (low + high) / 2
