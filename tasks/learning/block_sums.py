"""Paired errors of candidate and champion, added up by block of rows, for the paired test.

A block is what may be taken as one draw: a stretch of time, a group, or some rows by chance.
Only sums are kept, so that a test on 10M rows needs no more room than one on 1,000.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.learning.cells import Floats, Values, parts

Codes = NDArray[np.integer]
QUANTITIES = (
    "rows",
    "weight",
    "candidate_squares",
    "candidate_absolutes",
    "champion_squares",
    "champion_absolutes",
)


class BlockSums:
    """Sums by block and target over the rows that both models answer and whose truth is known."""

    def __init__(self, blocks: int, targets: int) -> None:
        self.sums = np.zeros((len(QUANTITIES), targets, blocks))

    @property
    def blocks(self) -> int:
        """How many blocks there may be; some may hold no row."""
        return int(self.sums.shape[2])

    @property
    def targets(self) -> int:
        """How many targets there are."""
        return int(self.sums.shape[1])

    @property
    def rows(self) -> Values:
        """How many rows there are, (blocks, targets)."""
        return np.asarray(self.sums[0].T)

    @property
    def weight(self) -> Values:
        """What the rows weigh, (blocks, targets)."""
        return np.asarray(self.sums[1].T)

    def errors(self, metric: Literal["rmse", "mae"]) -> tuple[Values, Values]:
        """Return the weighted sums of the candidate's and the champion's errors by block.

        Each is (blocks, targets): of squared errors for rmse, of absolute ones for mae.
        """
        own, other = (2, 4) if metric == "rmse" else (3, 5)
        return self.sums[own].T, self.sums[other].T

    def add(
        self,
        block: Codes,
        truth: Floats,
        candidate: Floats,
        champion: Floats,
        weight: Values | None = None,
    ) -> None:
        """Add rows: the block of each (rows,), then (rows, targets) three times, NaN for none.

        Raises ValueError where a shape does not fit or a block is none of these.
        """
        if truth.ndim != 2 or truth.shape[1] != self.targets or block.shape != truth.shape[:1]:
            came = f"{block.shape} and {truth.shape}"
            raise ValueError(
                f"expected blocks (rows,) and truth (rows, {self.targets}), came {came}"
            )
        if block.size and not (block.min() >= 0 and block.max() < self.blocks):
            came = f"{block.min()} to {block.max()}"
            raise ValueError(f"block: expected 0 to {self.blocks - 1}, came {came}")
        for part in parts(weight, truth, candidate, champion):
            put = _Adder(block[part.rows], self.blocks)
            ones = np.ones(len(put.block)) if part.weight is None else part.weight
            there = np.stack([put(np.ones(len(put.block))), put(ones)])
            for i in range(self.targets):
                truth_line, *answers = part.line(i)
                gaps = [answer - truth_line for answer in answers]
                if np.isnan(sum(np.add.reduce(gap) for gap in gaps)):
                    seen = ~np.isnan(gaps[0] + gaps[1])
                    gaps = [np.where(seen, gap, 0.0) for gap in gaps]
                    self.sums[:2, i] += put(seen), put(seen * ones)
                else:
                    self.sums[:2, i] += there
                for at, gap in zip((2, 4), gaps, strict=True):
                    size = np.abs(gap)
                    weighted = size if part.weight is None else size * ones
                    self.sums[at : at + 2, i] += put(weighted * size), put(weighted)

    def merge(self, other: "BlockSums") -> None:
        """Add what another has added up over the same blocks and targets, of other rows."""
        if self.sums.shape != other.sums.shape:
            raise ValueError(f"expected sums of {self.sums.shape}, came {other.sums.shape}")
        self.sums += other.sums

    def save(self, path: Path) -> None:
        """Write the sums as an npz file, by the names of QUANTITIES."""
        np.savez_compressed(
            path, allow_pickle=False, **dict(zip(QUANTITIES, self.sums, strict=True))
        )

    @classmethod
    def load(cls, path: Path) -> "BlockSums":
        """Read what `save` wrote; nothing in the file is run."""
        with np.load(path, allow_pickle=False) as file:
            read = np.stack([file[name] for name in QUANTITIES])
        found = cls(read.shape[2], read.shape[1])
        found.sums = read
        return found


class _Adder:
    """Adds up numbers of rows (rows,) by block, to (blocks,)."""

    def __init__(self, block: Codes, blocks: int) -> None:
        self.block, self.blocks = block, blocks
        self.starts: NDArray[np.intp] | None = None
        if (block[1:] >= block[:-1]).all():  # in time, say: each block is a run of rows
            self.starts = np.flatnonzero(np.r_[True, block[1:] != block[:-1]])
            self.at = block[self.starts]

    def __call__(self, values: NDArray[np.generic]) -> Values:
        if self.starts is None:
            return np.asarray(np.bincount(self.block, values, self.blocks), np.float64)
        found = np.zeros(self.blocks)
        found[self.at] = np.add.reduceat(values, self.starts, dtype=np.float64)
        return found
