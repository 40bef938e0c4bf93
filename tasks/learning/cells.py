"""Rows worked on a few at a time, target by target, so that sums run within the cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Floats = NDArray[np.floating]
Rows = slice | NDArray[np.intp]

ROWS = 1 << 13
"""How many rows are worked on at once. For longer lines BLAS starts threads, which do not pay."""


@dataclass(frozen=True)
class Part:
    """Some rows of arrays of one shape, without rows that weigh nothing.

    `weight` is (rows,), None where all rows weigh 1; `lines` are (targets, rows).
    """

    rows: Rows
    weight: Values | None
    lines: list[Floats]

    def line(self, target: int) -> list[Values]:
        """Return one target's values, each (rows,), in 64 bits."""
        return [np.ascontiguousarray(a[target], np.float64) for a in self.lines]


def parts(weight: Values | None, *arrays: Floats) -> Iterator[Part]:
    """Yield arrays (rows, targets), best contiguous by target, ROWS rows at a time.

    Raises ValueError where shapes differ or a weight is not one number a row.
    """
    shape = arrays[0].shape
    if len(shape) != 2 or any(a.shape != shape for a in arrays):
        came = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(f"expected arrays of one shape (rows, targets), came {came}")
    if weight is not None and weight.shape != shape[:1]:
        raise ValueError(f"weight: expected {shape[:1]}, one number a row, came {weight.shape}")
    for start in range(0, shape[0], ROWS):
        rows: Rows = slice(start, min(start + ROWS, shape[0]))
        own = None if weight is None else np.asarray(weight[rows], np.float64)
        if own is not None and not (own > 0).all():
            rows = start + np.flatnonzero(own > 0)
            own = own[own > 0]
        if own is None or own.size:
            yield Part(rows, own, [_lines(a[rows]) for a in arrays])


def _lines(values: Floats) -> Floats:
    """Return (targets, rows) with each target's values side by side."""
    side_by_side = values.strides[0] == values.itemsize
    return values.T if side_by_side else np.ascontiguousarray(values.T)


def sum_of(values: NDArray[Any], weight: Values | None) -> float:
    """Return the weighted sum of values (rows,)."""
    return float(np.add.reduce(values) if weight is None else values @ weight)


def dot(one: Values, other: Values, weight: Values | None) -> float:
    """Return the weighted sum of the products of two (rows,)."""
    return float(one @ other if weight is None else (one * weight) @ other)
