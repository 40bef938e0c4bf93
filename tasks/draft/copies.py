"""Features that give a target away: copies of it, and what holds it of later rows.

In: a table of some rows, (n,) a column. Out: what was found, by feature.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.leaks import Leak, held_later
from tasks.learning.tables import numbers

ALIKE = 0.9999
"""The correlation beyond which a feature is a copy of a target, along a line or by rank."""
LEAST = 30
"""The fewest rows with both values that say anything."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Copy:
    """A feature that is a target."""

    feature: str
    target: str
    how: Literal["equal", "line", "rank"]
    correlation: float

    @property
    def words(self) -> str:
        """The finding as a clause: what the feature is."""
        if self.how == "equal":
            return f"equals the target {self.target}"
        how = "along a straight line" if self.how == "line" else "in order"
        return f"follows the target {self.target} {how} (correlation {self.correlation:.6g})"


def copies(rows: pa.Table, features: list[str], targets: list[str]) -> list[Copy]:
    """Return the features that equal a target, or follow it along a line or in order."""
    if not features:
        return []
    ours = np.stack([numbers(rows, c) for c in features], axis=1)
    theirs = np.stack([numbers(rows, c) for c in targets], axis=1)
    lines = _correlations(ours, theirs)
    ranks = _correlations(_ranks(ours), _ranks(theirs))
    found = []
    for i, feature in enumerate(features):
        for j, target in enumerate(targets):
            line, rank = float(lines[i, j]), float(ranks[i, j])
            if max(abs(line), abs(rank)) <= ALIKE:
                continue
            both = np.isfinite(ours[:, i]) & np.isfinite(theirs[:, j])
            if (ours[both, i] == theirs[both, j]).all():
                found.append(Copy(feature, target, "equal", line))
            elif abs(line) > ALIKE:
                found.append(Copy(feature, target, "line", line))
            else:
                found.append(Copy(feature, target, "rank", rank))
    return found


def shifted(
    rows: pa.Table, time: Float, within: list[str], features: list[str], targets: list[str]
) -> tuple[list[Leak], list[Leak]]:
    """Return the features that hold a target of later rows; and the targets that are a feature of
    later rows, as a forecast's are, with how far ahead they look."""
    features = [c for c in features if c not in within]
    future = held_later(rows, time, within, features, targets)
    ahead = held_later(rows, time, within, targets, features)
    return future, ahead


def _correlations(ours: Float, theirs: Float) -> Float:
    """Return the correlation of each pair of columns over the rows that have both; 0 for none."""
    ours, theirs = _centred(ours), _centred(theirs)
    known, other = (np.isfinite(v).astype(np.float64) for v in (ours, theirs))
    x, y = np.nan_to_num(ours, posinf=0, neginf=0), np.nan_to_num(theirs, posinf=0, neginf=0)
    count = known.T @ other
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y = (x.T @ other) / count, (known.T @ y) / count
        spread = (np.square(x).T @ other) / count - mean_x**2
        reach = (known.T @ np.square(y)) / count - mean_y**2
        found = ((x.T @ y) / count - mean_x * mean_y) / np.sqrt(spread * reach)
    told = (count >= LEAST) & (spread > 1e-12) & (reach > 1e-12)
    return np.where(told, np.nan_to_num(found), 0.0)


def _centred(values: Float) -> Float:
    """Return columns with mean 0 and deviation 1 over their finite values."""
    finite = np.where(np.isfinite(values), values, np.nan)
    count = np.maximum(np.isfinite(finite).sum(axis=0), 1)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the end of their range
        mean = np.nansum(finite, axis=0) / count
        deviation = np.sqrt(np.nansum(np.square(finite - mean), axis=0) / count)
        centred: Float = (finite - mean) / np.where(deviation > 0, deviation, 1.0)
    return centred


def _ranks(values: Float) -> Float:
    """Return each value's place among its column's, equal ones alike; NaN for what is none."""
    found = np.full(values.shape, np.nan)
    for i, column in enumerate(values.T):
        known = np.isfinite(column)
        _, place, times = np.unique(column[known], return_inverse=True, return_counts=True)
        found[known, i] = (np.cumsum(times) - (times - 1) / 2)[place]
    return found
