"""Functions of float64 tensors that a format lacks, by those that every format has.

They are as exact as the functions that they stand for: within a few units of the last place.
"""

from typing import Any

import numpy as np
from keras import ops


def expm1(values: Any) -> Any:
    """Return exp(values) - 1, exact near 0 too (Kahan: the rounding of exp is taken out)."""
    grown = ops.exp(values)
    less = grown - 1.0
    # At these two places the quotient would be 0 / 0.
    plain = ops.logical_or(ops.equal(grown, 1.0), ops.equal(less, -1.0))
    safe = ops.where(plain, 2.0, grown)
    exact = less * (values / ops.log(safe))
    # Far from 0 nothing is lost, and the logarithm of an infinite power would be.
    exact = ops.where(ops.greater(values, 1.0), less, exact)
    return ops.where(ops.equal(grown, 1.0), values, ops.where(ops.equal(less, -1.0), -1.0, exact))


def log1p(values: Any) -> Any:
    """Return log(1 + values) for values above -1, exact near 0 too."""
    more = 1.0 + values
    safe = ops.where(ops.equal(more, 1.0), 2.0, more)
    return ops.where(ops.equal(more, 1.0), values, ops.log(safe) * (values / (safe - 1.0)))


def interpolated(values: Any, start: Any, end: Any) -> Any:
    """Return what lies on the lines from point to point, for values (rows,) within `start`.

    `start` and `end` (points,) are where the lines begin and end, `start` ascending.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    slope = np.diff(end) / np.diff(start)
    past = ops.cast(ops.greater_equal(ops.expand_dims(values, -1), start[1:-1]), "int32")
    line = ops.sum(past, axis=-1)
    begin = ops.take(start[:-1], line, axis=0)
    return ops.take(end[:-1], line, axis=0) + (values - begin) * ops.take(slope, line, axis=0)
