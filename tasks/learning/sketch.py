"""Quantiles of more values than memory holds: a sketch that is merged, and the same every time.

A sketch is at most KNOTS values, each of which stands for as many: its weight. Of a block, these
are the middles of equal stretches of the sorted values. Sketches are merged into the middles of
equal stretches of the values of all, by weight. They are merged as the digits of a number in base
FEW carry, so that few merges lie on the way of any value.

The rank error, in shares of all values: a block's sketch is off by 1 / (2 KNOTS) at most, each
level of merges adds as much, and so does the reading. With b blocks it is (2 + levels) / (2 KNOTS)
at most, where levels = ceil(log4 b) + 2: for 2,000 blocks of 65,536 rows, which is 131 million,
0.24 %. What is seen is far less, since errors cancel. Where a block's values are drawn from more,
the error of drawing comes on top (tasks/stretches.py says how much).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

KNOTS = 2_048
"""The most values that a sketch keeps."""
FEW = 4
"""How many sketches are merged at once."""


@dataclass(frozen=True)
class Sketch:
    """Ascending `values` (k,), and how many each of them stands for, `weights` (k,)."""

    values: Float
    weights: Float

    @classmethod
    def of(cls, ordered: Float, count: int) -> "Sketch":
        """Return the sketch of ascending finite values (n > 0,), which holds none of their memory.

        They stand for `count` values: for themselves, or for those that they are drawn from.
        """
        if ordered.size <= KNOTS:
            return cls(ordered.copy(), np.full(ordered.size, count / ordered.size))
        return cls(ordered[_middles(ordered.size)], np.full(KNOTS, count / KNOTS))

    @classmethod
    def merged(cls, some: Sequence["Sketch"]) -> "Sketch":
        """Return the sketch of the values of all."""
        if len(some) == 1:
            return some[0]
        values = np.concatenate([one.values for one in some])
        order = np.argsort(values, kind="stable")
        values, weights = values[order], np.concatenate([one.weights for one in some])[order]
        if values.size <= KNOTS:
            return cls(values, weights)
        upto = np.cumsum(weights)
        middles = (np.arange(KNOTS) + 0.5) * (upto[-1] / KNOTS)
        places = np.minimum(np.searchsorted(upto, middles), values.size - 1)
        return cls(values[places], np.full(KNOTS, upto[-1] / KNOTS))

    def quantiles(self, levels: Float) -> Float:
        """Return the values at levels from 0 to 1 (m,), straight lines between the knots."""
        upto = np.cumsum(self.weights)
        found = np.interp(levels * upto[-1], upto - self.weights / 2, self.values)
        return np.asarray(found, np.float64)


@lru_cache(maxsize=8)
def _middles(size: int) -> NDArray[np.int64]:
    """Return the middle of each of KNOTS stretches of so many values: the same for all columns
    that lack nothing."""
    # Whole numbers, so that no rounding moves it.
    return (2 * np.arange(KNOTS) + 1) * size // (2 * KNOTS)


Carried = tuple[tuple[int, Sketch], ...]
"""Sketches with how many levels of merges each is made by. These descend, and fewer than FEW of
them are alike."""


def carried(have: Carried, more: Sequence[tuple[int, Sketch]]) -> Carried:
    """Return sketches with others added in their order; FEW of one level become one of the next."""
    stack = list(have)
    for level, sketch in more:
        less = [one for own, one in stack if own < level]
        del stack[len(stack) - len(less) :]
        for one in (Sketch.merged(less), sketch) if less else (sketch,):
            stack.append((level, one))
            _carry(stack)
    return tuple(stack)


def _carry(stack: list[tuple[int, Sketch]]) -> None:
    while len(stack) >= FEW and stack[-FEW][0] == stack[-1][0]:
        alike = [one for _, one in stack[-FEW:]]
        stack[-FEW:] = [(stack[-1][0] + 1, Sketch.merged(alike))]


def whole(have: Carried) -> Sketch:
    """Return the sketch of all."""
    return Sketch.merged([one for _, one in have]) if have else Sketch(np.empty(0), np.empty(0))
