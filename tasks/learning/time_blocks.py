"""Rows that are ordered in time, cut into blocks as long as errors remember one another.

Errors that follow one another are alike, so a thousand rows in a row say less than a thousand
rows by chance. How far their likeness reaches is measured on the scores themselves: twice the lag
after which their autocorrelation is no longer to be told from none (Politis & White 2004).
Blocks of that length are nearly independent of one another, and so nearly exchangeable, as
long as later errors are like those of the calibration rows: no block length makes up for a model
that drifts. Where errors remember nothing, intervals are those of independent rows.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]

FINE = 1_000
"""The most stretches that rows are cut into before they are joined to blocks."""
LEAST = 20
"""Blocks that are left at least where there are as many moments: what a level of 0.95 needs."""
QUIET = 5
"""How many lags in a row must show nothing for the memory to have ended."""


def time_blocks(time: Values, scores: Values) -> Codes:
    """Return the block (n,) of rows at points in time (n,), given their scores (n,).

    Rows of one moment share a block; blocks hold about equally many rows.
    """
    fine = _stretches(time)
    rows = np.bincount(fine)
    length = 2 * memory(np.bincount(fine, scores) / rows)
    length = min(max(1, length), max(1, rows.size // LEAST))
    codes: Codes = fine * (rows.size // length) // max(rows.size, 1)
    return codes


def memory(series: Values) -> int:
    """Return the last lag at which a series (n,) has an autocorrelation that shows: after it,
    QUIET lags in a row have none. It is taken of ranks, so that no extreme value decides."""
    count = len(series)
    most = count // LEAST
    if not most or np.ptp(series) == 0:
        return 0
    limit = 2 * math.sqrt(math.log10(count) / count)
    shows = np.abs(_autocorrelation(series, most + QUIET)) >= limit
    quiet = np.convolve(shows, np.ones(QUIET), "valid") == 0
    return int(np.argmax(quiet)) if quiet.any() else most


def _autocorrelation(series: Values, most: int) -> Values:
    """Return the correlation of a series' ranks with themselves at lags 1 to `most`."""
    _, own, counts = np.unique(series, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2)[own]
    gap = ranks - ranks.mean()
    products = np.array([gap[lag:] @ gap[:-lag] for lag in range(1, most + 1)])
    found: Values = products / (gap @ gap)
    return found


def _stretches(time: Values) -> Codes:
    """Return codes (n,) from 0 of at most FINE stretches of time, about equal in rows."""
    _, moment, counts = np.unique(time, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    place = before * min(FINE, counts.size) // max(len(time), 1)
    codes: Codes = np.unique(place, return_inverse=True)[1][moment]
    return codes
