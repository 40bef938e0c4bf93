"""What is known of a column of numbers: exactly, where all its values are there, or from sums.

Sums are of one block of rows each, in float64, and are merged in the order of the blocks. So what
comes out is the same to the bit, however many threads or machines have added up.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
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
class Draw:
    """Which values of a block are sorted for the sketch: `count` of them by chance, or all where no
    more are known.

    The number of the `block` decides which, so that they are the same each time.
    """

    block: int
    count: int

    def of(self, known: Float, room: Float) -> Float:
        """Return those of the known values (n,), written into `room` (n,)."""
        if known.size <= self.count:
            room[: known.size] = known
            return room[: known.size]
        places = _places(self.block, known.size, self.count)
        return np.take(known, places, out=room[: self.count], mode="clip")


@lru_cache(maxsize=8)
def _places(block: int, size: int, count: int) -> NDArray[np.int64]:
    """Return `count` of `size` places, ascending: the same for all columns that lack nothing."""
    places = np.random.default_rng(block).choice(size, count, replace=False, shuffle=False)
    return np.sort(places)


def _known(values: Float) -> tuple[Float, float, int]:
    """Return the finite values, their sum, and how many are infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(values.sum())
    if math.isfinite(total):
        return values, total, 0
    known = values[np.isfinite(values)]
    return known, float(known.sum()), int(np.isinf(values).sum())


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
    def of(cls, values: Float, draw: Draw, room: Float | None = None) -> "Sums":
        """Return the sums of a block's values (n,), NaN for missing.

        `room` (n,) is written over, where it is given: new memory is dear.
        """
        room = np.empty(values.size) if room is None else room
        known, total, infinite = _known(values)
        if not known.size:
            return cls(values.size, 0, infinite, 0.0, 0.0, (0.0, 0.0), ())
        mean = total / known.size
        apart = np.subtract(known, mean, out=room[: known.size])
        # No dot product: its order of adding depends on how many threads there are.
        squares = float(np.einsum("i,i->", apart, apart))
        ordered = draw.of(known, room)
        ordered.sort()
        sketches = ((0, Sketch.of(ordered, known.size)),)
        ends = float(known.min()), float(known.max())
        return cls(values.size, known.size, infinite, mean, squares, ends, sketches)

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
