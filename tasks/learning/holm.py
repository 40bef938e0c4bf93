"""Holm's correction: many questions at once, and one error rate for all of them."""

import numpy as np
from numpy.typing import NDArray


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values (n,) adjusted for each other (Holm 1979), NaN where one is NaN.

    Rejecting those at most alpha rejects any true hypothesis with probability alpha at most,
    however the questions hang together.
    """
    adjusted = np.full(p.shape, np.nan)
    asked = np.flatnonzero(~np.isnan(p))
    order = asked[np.argsort(p[asked], kind="stable")]
    steps = (order.size - np.arange(order.size)) * p[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if order.size else 0.0
    return adjusted
