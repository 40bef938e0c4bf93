"""How many truths intervals hold, added up block by block, and how sure the share is.

Rows that hang together tell less than their number: the standard error of the share is that of
clusters of blocks (the linearized ratio of clustered samples: Särndal, Swensson & Wretman 1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.learning.predictions import Predictions
from tasks.learning.row_scores import Values, within
from tasks.learning.slice_sums import CLUSTERS, LEAST_CLUSTERS, clusters_of

Codes = NDArray[np.integer]


@dataclass(frozen=True)
class CoverageErrors:
    """The standard error of one target's coverage, by level; NaN where clusters are too few."""

    target: int
    levels: tuple[float, ...]
    errors: tuple[float, ...]
    clusters: int


class CoverageSums:
    """Sums of one model's intervals by cluster of blocks, target and level."""

    def __init__(self, targets: int, levels: Sequence[float], blocks: int) -> None:
        self.levels, self.blocks = tuple(levels), blocks
        # What rows weigh, and what those weigh whose truth is inside.
        self.sums = np.zeros((2, len(self.levels), targets, CLUSTERS))

    def add(
        self, block: Codes, truth: Values, predictions: Predictions, weight: Values | None = None
    ) -> None:
        """Add rows: the block of each (rows,), `truth` (rows, targets), and `weight` (rows,)."""
        cluster = clusters_of(block, self.blocks)
        own = np.ones(len(truth)) if weight is None else np.where(weight > 0, weight, 0.0)
        for at, level in enumerate(self.levels):
            if level not in (predictions.intervals or {}):
                continue
            low, high = (predictions.intervals or {})[level]
            for i, y in enumerate(truth.T):
                rows = np.where(np.isnan(y + high[:, i] - low[:, i]), 0.0, own)
                inside = rows * within(y, low[:, i], high[:, i])
                for sums, values in zip(self.sums[:, at, i], (rows, inside), strict=True):
                    sums += np.bincount(cluster, values, CLUSTERS)

    def merge(self, other: "CoverageSums") -> None:
        """Add what another has added up of other rows, of the same targets, levels and blocks."""
        self.sums += other.sums

    def errors(self) -> list[CoverageErrors]:
        """Return the standard errors of each target."""
        weight, inside = self.sums
        clusters = (weight > 0).sum(axis=-1)
        total = weight.sum(axis=-1)
        share = np.divide(inside.sum(axis=-1), total, out=np.zeros_like(total), where=total > 0)
        moved = np.square(inside - share[..., None] * weight).sum(axis=-1)
        known = (clusters >= LEAST_CLUSTERS) & (total > 0)
        spread = np.sqrt(moved * clusters / np.maximum(clusters - 1, 1))
        error = np.divide(spread, total, out=np.full_like(total, np.nan), where=known)
        return [
            CoverageErrors(i, self.levels, tuple(error[:, i].tolist()), int(clusters[:, i].max()))
            for i in range(total.shape[1])
        ]
