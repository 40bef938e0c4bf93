"""What is known of a column of numbers: exactly, where all its values are there, or from sums.

Sums are of one block of rows each, in float64, and are merged in the order of the blocks. So what
comes out is the same to the bit, however many threads or machines have added up.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.learning.sketch import Carried, Sketch, carried, whole

Float = NDArray[np.float64]

SAMPLE = 10_000
"""How many values stand for all of a column that is known from sums."""


class Column(Protocol):
    """A column's finite values, and how many others there are."""

    @property
    def rows(self) -> int:
        """How many cells there are."""

    @property
    def known(self) -> int:
        """How many are finite numbers."""

    @property
    def infinite(self) -> int:
        """How many are infinite."""

    @property
    def mean(self) -> float:
        """The mean of the known, 0 for none."""

    @property
    def deviation(self) -> float:
        """Their standard deviation, 0 for none."""

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest, 0 for none."""

    def quantiles(self, levels: list[float]) -> list[float]:
        """Return the values at levels from 0 to 1; 0 where none is known."""

    def sample(self) -> Float:
        """Return values that stand for all the known."""


@dataclass(frozen=True)
class Values:
    """A column whose values (n,) are all there, NaN for missing. Every number is exact."""

    values: Float

    @cached_property
    def finite(self) -> Float:
        """The known values."""
        return self.values[np.isfinite(self.values)]

    @property
    def rows(self) -> int:
        """How many cells there are."""
        return self.values.size

    @property
    def known(self) -> int:
        """How many are finite numbers."""
        return self.finite.size

    @property
    def infinite(self) -> int:
        """How many are infinite."""
        return int(np.isinf(self.values).sum())

    @property
    def mean(self) -> float:
        """The mean of the known, 0 for none."""
        return float(self.finite.mean()) if self.known else 0.0

    @property
    def deviation(self) -> float:
        """Their standard deviation, 0 for none."""
        return float(self.finite.std()) if self.known else 0.0

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest, 0 for none."""
        return (float(self.finite.min()), float(self.finite.max())) if self.known else (0.0, 0.0)

    def quantiles(self, levels: list[float]) -> list[float]:
        """Return the values at levels from 0 to 1; 0 where none is known."""
        if not self.known:
            return [0.0] * len(levels)
        return [float(q) for q in np.quantile(self.finite, levels)]

    def sample(self) -> Float:
        """Return all the known."""
        return self.finite


@dataclass(frozen=True)
class Sums:
    """A column of some blocks of rows as sums; the quantiles come from a sketch."""

    rows: int
    known: int
    infinite: int
    mean: float
    squares: float
    """The sum of squared distances from the mean."""
    ends: tuple[float, float]
    sketches: Carried

    @classmethod
    def of(
        cls, values: Float, room: Float | None = None, rows: NDArray[np.int64] | None = None
    ) -> "Sums":
        """Return the sums of a block's values, NaN for missing: those at `rows` (n,), or of all.

        `room` (2, n) is written over, where it is given: new memory is dear.
        """
        count = values.size if rows is None else rows.size
        ordered, apart = np.empty((2, count)) if room is None else room
        if rows is None:
            ordered[:] = values
        else:
            np.take(values, rows, out=ordered, mode="clip")
        ordered.sort()
        # NaN comes last, after all that is infinite.
        start, end = (int(n) for n in np.searchsorted(ordered, [-np.inf, np.inf], "right"))
        stop = int(np.searchsorted(ordered, np.inf))
        known, infinite = ordered[start:stop], start + end - stop
        if not known.size:
            return cls(count, 0, infinite, 0.0, 0.0, (0.0, 0.0), ())
        mean = float(known.mean())
        apart = np.subtract(known, mean, out=apart[: known.size])
        # No dot product: its order of adding depends on how many threads there are.
        squares = float(np.multiply(apart, apart, out=apart).sum())
        ends, sketches = (float(known[0]), float(known[-1])), ((0, Sketch.of(known)),)
        return cls(count, known.size, infinite, mean, squares, ends, sketches)

    def merged(self, after: "Sums") -> "Sums":
        """Return the sums of both (Chan, Golub & LeVeque 1983); `after` are of later blocks."""
        rows, infinite = self.rows + after.rows, self.infinite + after.infinite
        sketches = carried(self.sketches, after.sketches)
        known = self.known + after.known
        if not (self.known and after.known):
            some = self if self.known else after
            return Sums(rows, known, infinite, some.mean, some.squares, some.ends, sketches)
        apart = after.mean - self.mean
        mean = self.mean + apart * (after.known / known)
        squares = self.squares + after.squares + apart**2 * (self.known * (after.known / known))
        ends = min(self.ends[0], after.ends[0]), max(self.ends[1], after.ends[1])
        return Sums(rows, known, infinite, mean, squares, ends, sketches)

    @property
    def deviation(self) -> float:
        """The standard deviation of the known, 0 for none."""
        return float(np.sqrt(self.squares / self.known)) if self.known else 0.0

    def quantiles(self, levels: list[float]) -> list[float]:
        """Return the values at levels from 0 to 1, as exact as the sketch; 0 for none known."""
        if not self.known:
            return [0.0] * len(levels)
        return [float(q) for q in self._sketch.quantiles(np.array(levels))]

    def sample(self) -> Float:
        """Return SAMPLE quantiles, the ends among them, that stand for all the known."""
        if not self.known:
            return np.empty(0)
        inner = self._sketch.quantiles((np.arange(1, SAMPLE - 1) + 0.5) / SAMPLE)
        return np.concatenate([self.ends[:1], inner, self.ends[1:]])

    @cached_property
    def _sketch(self) -> Sketch:
        return whole(self.sketches)
