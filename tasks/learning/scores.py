"""Errors of predictions on rows where the truth is observed, in the truth's unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """The errors of one target: over how many rows, mean absolute, root mean square, R².

    `r2` is None where the truth does not vary, since it is undefined there.
    """

    rows: int
    mae: float
    rmse: float
    r2: float | None


def errors(truth: Values, predicted: Values, weight: Values | None = None) -> Errors:
    """Return the errors of `predicted` (n,) against `truth` (n,), NaN in either left out.

    So are rows that weigh nothing.

    Raises ValueError where no row is left.
    """
    seen = ~(np.isnan(truth) | np.isnan(predicted))
    if weight is not None:
        seen &= weight > 0
    if not seen.any():
        raise ValueError("no row has both a truth and a prediction")
    y, p = truth[seen], predicted[seen]
    w: Any = None if weight is None else weight[seen]
    gap = p - y
    mse = float(np.average(gap**2, weights=w))
    mae = float(np.average(np.abs(gap), weights=w))
    center = np.average(y, weights=w)
    variance = float(np.average((y - center) ** 2, weights=w))
    varies = variance > 1e-20 * float(center) ** 2
    return Errors(int(seen.sum()), mae, mse**0.5, 1 - mse / variance if varies else None)
