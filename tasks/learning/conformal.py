"""Conformal intervals: by how much to widen a prediction so that it holds the truth as often as
it says, measured on calibration rows that the model has not learned from.

A row's score is |truth - mean| / length, where the length is what the model says of its own
uncertainty in the row, or else one length a target. A target's interval is mean ± q · length with
q a quantile of the scores; the joint region is the same with a quantile of each row's largest
score. Rows come in blocks (a group, a stretch of time, or each row by itself), and a new row is
taken to come from a new block: where blocks are exchangeable, an interval of level 0.9 holds at
least 0.9 of the truths, whatever the model and however many the rows (hierarchical conformal
prediction: Dunn, Wasserman & Ramdas 2022; Lee, Barber & Willett 2023). Rows that weigh more count
for more (weighted exchangeability: Tibshirani et al. 2019).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.learning.limits import Limits
from tasks.learning.predictions import Interval, Predictions, Values
from tasks.learning.time_blocks import time_blocks

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""The levels that intervals are fitted for."""
LEAST_LENGTH = 0.01
"""The least length of a row, as a share of its target's: a model that is too sure of itself in
some rows must not spoil the intervals of all others."""
SLACK = 1e-9
"""What sums of masses may lack by rounding."""

Order = Literal["time", "group", "rows"]


@dataclass(frozen=True)
class Conformal:
    """Fitted intervals of all targets, by level; infinite where the blocks are too few."""

    levels: tuple[float, ...]
    lengths: tuple[float, ...]
    """Each target's length, in its unit, where the model does not say one."""
    factors: tuple[tuple[float, ...], ...]
    """By level, by how many lengths each target's interval reaches from the mean."""
    joint: tuple[float, ...]
    """By level, by how many lengths the joint region reaches in every target."""
    order: Order
    """What a block is made of."""
    rows: int
    blocks: tuple[int, ...]
    """How many blocks each target's rows made."""
    joint_blocks: int
    """How many blocks the rows made for the joint region."""

    def widen(self, found: Predictions, levels: Sequence[float], limits: Limits) -> Predictions:
        """Return predictions with intervals and regions at some levels, within each target's
        bounds. Ends are NaN where there is no finite interval. Raises ValueError for a level
        that was not fitted."""
        length = row_lengths(found, self.lengths)
        span = limits.span
        intervals, regions = {}, {}
        for level in levels:
            at = self._place(level)
            intervals[level] = _around(found.mean, np.array(self.factors[at]) * length, span)
            regions[level] = _around(found.mean, self.joint[at] * length, span)
        return replace(found, intervals=intervals, regions=regions)

    def _place(self, level: float) -> int:
        if level not in self.levels:
            known = ", ".join(f"{each:g}" for each in self.levels)
            raise ValueError(f"intervals: expected one of the levels {known}, came {level:g}")
        return self.levels.index(level)

    def to_json(self) -> str:
        """Return all numbers as JSON; infinite ones are null."""
        content = asdict(self)
        content["factors"] = [_finite(row) for row in self.factors]
        content["joint"] = _finite(self.joint)
        return json.dumps(content, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Conformal":
        """Return what `to_json` wrote."""
        content = json.loads(text)
        for name in ("levels", "lengths", "blocks"):
            content[name] = tuple(content[name])
        content["factors"] = tuple(_infinite(row) for row in content["factors"])
        content["joint"] = _infinite(content["joint"])
        return cls(**content)


def fit_conformal(
    scores: Values,
    place: NDArray[Any],
    lengths: Sequence[float],
    order: Order = "rows",
    weight: Values | None = None,
) -> Conformal:
    """Return the intervals that calibration scores (rows, targets) ask for; NaN is left out.

    `place` (rows,) says which block a row belongs to: the same value is the same block, or for
    the order `time` it is the row's time in seconds, and each target has blocks as long as its
    own scores remember. `weight` (rows,) is what a row counts. Scores are the sizes of residuals
    over `lengths` (targets,), or as `row_scores` gives them.
    """
    whole = np.ones(len(scores)) if weight is None else weight
    seen = ~np.isnan(scores) & (whole > 0)[:, None]
    largest = np.where(seen, scores, -np.inf).max(axis=1)
    columns = zip([*scores.T, largest], [*seen.T, seen.any(axis=1)], strict=True)
    found = [_fitted(order, s[own], place[own], whole[own]) for s, own in columns]
    factors, blocks = zip(*found, strict=True)
    return Conformal(
        levels=LEVELS,
        lengths=tuple(float(length) for length in lengths),
        factors=tuple(zip(*factors[:-1], strict=True)),
        joint=factors[-1],
        order=order,
        rows=int(seen.any(axis=1).sum()),
        blocks=blocks[:-1],
        joint_blocks=blocks[-1],
    )


def _fitted(
    order: Order, scores: Values, place: NDArray[Any], weight: Values
) -> tuple[tuple[float, ...], int]:
    """Return the quantiles of scores (n,), none of them missing, and how many blocks they are."""
    blocks = time_blocks(place, scores) if order == "time" else place
    return quantiles(scores, blocks, weight), int(np.unique(blocks).size)


def quantiles(scores: Values, blocks: NDArray[Any], weight: Values) -> tuple[float, ...]:
    """Return the scores' quantile at each of LEVELS for a row of a new block; inf for none.

    A block has mass by its mean weight, spread over its rows by theirs; the new block has the
    largest such mass, put at infinity. With equal weights that is 1/((K+1)·n_k) for each of the
    n_k rows of one of K blocks.
    """
    if not scores.size:
        return (np.inf,) * len(LEVELS)
    _, own, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    means = np.bincount(own, weight) / sizes
    mass = weight / sizes[own] / (means.sum() + means.max())
    order = np.argsort(scores)
    reached = np.searchsorted(np.cumsum(mass[order]), np.array(LEVELS) - SLACK)
    found = np.append(scores[order], np.inf)[reached]
    return tuple(float(q) for q in found)


def row_scores(truth: Values, found: Predictions, lengths: Sequence[float]) -> Values:
    """Return how many lengths the truth (rows, targets) lies from the mean; NaN where missing."""
    scores: Values = np.abs(truth - found.mean) / row_lengths(found, lengths)
    return scores


def row_lengths(found: Predictions, lengths: Sequence[float]) -> Values:
    """Return the length (rows, targets) of one score, in units: the predicted deviation, or the
    outermost quantiles' distance as that of a normal distribution, or the target's own length."""
    usual = np.broadcast_to(np.asarray(lengths, np.float64), found.mean.shape)
    own = found.spread
    if own is None and len(found.quantiles or ()) > 1:
        by_level = found.quantiles or {}
        low, high = min(by_level), max(by_level)
        normal = NormalDist().inv_cdf(high) - NormalDist().inv_cdf(low)
        own = (by_level[high] - by_level[low]) / normal
    if own is None:
        return usual
    return np.where(np.isnan(own), usual, np.maximum(own, LEAST_LENGTH * usual))


def _around(mean: Values, reach: Values, span: tuple[Values, Values]) -> Interval:
    """Return the ends around a mean, which stays between them, within its target's span."""
    reach = np.where(np.isinf(reach), np.nan, reach)
    low, high = np.maximum(mean - reach, span[0]), np.minimum(mean + reach, span[1])
    return np.minimum(low, mean), np.maximum(high, mean)


def _finite(values: Sequence[float]) -> list[float | None]:
    return [v if np.isfinite(v) else None for v in values]


def _infinite(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(np.inf if v is None else v for v in values)
