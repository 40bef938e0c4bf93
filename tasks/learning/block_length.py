"""How long the blocks of a block bootstrap should be, from the series itself."""

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

PERSISTENT = 5
"""How many autocorrelations in a row must be next to nothing for the series to have forgotten."""


def block_length(series: Values) -> int:
    """Return the length of block of least error in the variance of a mean of `series` (n,).

    The rule of Politis & White (2004) for the circular block bootstrap, as corrected by Patton,
    Politis & White (2009): it grows with the reach of the series' autocorrelation, and is 1
    for a series without. At most min(3 sqrt(n), n/3).
    """
    n = series.size
    centred = series - series.mean()
    if not centred.any():
        return 1
    most = min(math.isqrt(n - 1) + 1 + PERSISTENT, n - 1)
    lags = np.arange(most + 1)
    covariance = np.array([centred[: n - k] @ centred[k:] for k in lags]) / n
    reach = min(2 * _last_lag(covariance / covariance[0], n), most)
    if reach == 0:
        return 1
    window = np.clip(2 * (1 - lags / reach), 0, 1)  # flat up to half of the reach, then falling
    weighted = window * covariance
    longest = max(1, math.ceil(min(3 * math.sqrt(n), n / 3)))
    spectrum = float(weighted[0] + 2 * weighted[1:].sum())
    slope = float(2 * (lags * weighted).sum())
    if spectrum <= 0:
        return longest
    length: float = (n * 2 * slope**2 / (4 / 3 * spectrum**2)) ** (1 / 3)
    return min(max(math.ceil(length), 1), longest)


def _last_lag(correlation: Values, n: int) -> int:
    """Return the lag after which the autocorrelations are next to nothing."""
    small = np.abs(correlation[1:]) < 2 * math.sqrt(math.log10(n) / n)
    for lag in range(small.size - PERSISTENT + 1):
        if small[lag : lag + PERSISTENT].all():
            return lag
    large = np.flatnonzero(~small)
    return int(large[-1]) + 1 if large.size else 0
