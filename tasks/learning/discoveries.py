"""Many questions, and a bound on the share of false ones among those that are answered with yes.

Benjamini & Hochberg 1995, Controlling the false discovery rate; it holds for p-values that are
independent or hang together positively (Benjamini & Yekutieli 2001).
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def discoveries(p: Values) -> Values:
    """Return adjusted p-values (n,): those at most q are found at a false-discovery rate of q."""
    order = np.argsort(p)[::-1]
    ranks = np.arange(len(p), 0, -1)
    found = np.empty(len(p))
    found[order] = np.minimum.accumulate(np.minimum(p[order] * len(p) / ranks, 1.0))
    return found
