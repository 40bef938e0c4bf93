"""The correlation of the targets' residuals: which errors come together.

In: `predictions.parquet`, read in blocks. Out: a matrix. Memory does not grow with the rows.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

BLOCK = 65_536
MOST_TARGETS = 30
LEAST_ROWS = 10
"""The fewest rows with both residuals that a correlation is made of."""

Values = NDArray[np.float64]


def residual_correlation(file: Path, targets: Sequence[str]) -> Values:
    """Return the correlations (targets, targets) of prediction - truth of the candidate.

    Each pair goes by the rows that have both; NaN where those are fewer than LEAST_ROWS or one
    of the two does not vary.
    """
    columns = [f"{kind}/{t}" for t in targets for kind in ("truth", "candidate")]
    sums = _PairSums(len(targets))
    for batch in pq.ParquetFile(file).iter_batches(BLOCK, columns=columns):
        sums.add(_residuals(batch, targets))
    return sums.correlations()


def _residuals(batch: pa.RecordBatch, targets: Sequence[str]) -> Values:
    """Return prediction - truth (rows, targets), NaN where either is missing."""
    found = [
        np.asarray(batch.column(f"candidate/{t}").to_numpy(zero_copy_only=False), "float64")
        - np.asarray(batch.column(f"truth/{t}").to_numpy(zero_copy_only=False), "float64")
        for t in targets
    ]
    return np.stack(found, axis=1)


class _PairSums:
    """Sums over the rows that have both residuals of a pair; [i, j] are those of i where j is.

    The first block's means are taken off first, so that no digits are lost.
    """

    def __init__(self, targets: int) -> None:
        self.shift: Values | None = None
        shape = (targets, targets)
        self.rows, self.first, self.second, self.product = (np.zeros(shape) for _ in range(4))

    def add(self, residuals: Values) -> None:
        seen = np.isfinite(residuals)
        if self.shift is None:
            count = np.maximum(seen.sum(axis=0), 1)
            self.shift = np.where(seen, residuals, 0.0).sum(axis=0) / count
        values = np.where(seen, residuals - self.shift, 0.0)
        mask = seen.astype("float64")
        self.rows += mask.T @ mask
        self.first += values.T @ mask
        self.second += (values**2).T @ mask
        self.product += values.T @ values

    def correlations(self) -> Values:
        rows = np.maximum(self.rows, 1)
        spread = self.second - self.first**2 / rows
        shared = self.product - self.first * self.first.T / rows
        known = (self.rows >= LEAST_ROWS) & (spread > 1e-12 * self.second)
        known &= known.T
        size = np.sqrt(np.where(known, spread * spread.T, 1.0))
        return np.where(known, np.clip(shared / size, -1, 1), np.nan)


def strongest(found: Values, targets: Sequence[str]) -> tuple[str, str, float] | None:
    """Return the two targets whose residuals are most correlated, and by how much."""
    above = np.abs(np.where(np.triu(np.ones_like(found), 1) > 0, found, np.nan))
    if not np.isfinite(above).any():
        return None
    i, j = np.unravel_index(int(np.nanargmax(above)), found.shape)
    return targets[int(i)], targets[int(j)], float(found[i, j])
