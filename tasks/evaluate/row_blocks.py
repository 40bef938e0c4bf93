"""What may be taken as one draw of test rows: a stretch of time, a group, or a few rows by chance.

In: raw rows. Out: the index of each row's block, the same wherever a batch ends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import GroupSplit
from tasks.evaluate.fold_rows import FoldRows
from tasks.learning.tables import seconds
from tasks.seen import key_hashes

Order = Literal["time", "group", "rows", "folds"]
Indices = NDArray[np.int64]

FINE = 2_048
"""How many stretches of time there are at most, and into how many blocks single rows fall."""
GROUPS = 4_096


@dataclass(frozen=True)
class RowBlocks:
    """The blocks of test rows: what they are made of, how many there may be, and whose is whose."""

    order: Order
    count: int
    place: Callable[[pa.Table], Indices]

    def __call__(self, rows: pa.Table) -> Indices:
        """Return the block (n,) of each raw row, from 0 to `count` - 1."""
        return self.place(rows)


def row_blocks(contract: Contract, tests: Sequence[FoldRows]) -> RowBlocks:
    """Return the blocks of the test rows of some folds.

    They are groups where the split keeps groups together, else stretches of time where rows have
    a time, since errors that are near in time are alike; else rows by chance.
    """
    if isinstance(contract.split, GroupSplit):
        # Two groups that share a block are taken for one, which is on the careful side.
        own = contract.model_copy(update={"key": contract.split.columns})
        return RowBlocks("group", GROUPS, lambda rows: _hashed(own, rows, GROUPS))
    if is_timed(contract, tests[0].sample(1)):
        edges = np.unique(np.concatenate([t.time_edges(FINE // len(tests)) for t in tests]))
        if edges.size:
            return RowBlocks("time", edges.size + 1, lambda rows: _stretch(contract, edges, rows))
    return RowBlocks("rows", FINE, lambda rows: _hashed(contract, rows, FINE))


def is_timed(contract: Contract, rows: pa.Table) -> bool:
    """Say whether rows have a point in time; they may be ordered by a number, or not at all."""
    try:
        return contract.time is not None and seconds(rows, contract.time) is not None
    except ValueError:
        return False


def _hashed(contract: Contract, rows: pa.Table, count: int) -> Indices:
    return (key_hashes(contract, rows) % np.uint64(count)).astype(np.int64)


def _stretch(contract: Contract, edges: NDArray[np.float64], rows: pa.Table) -> Indices:
    """Return the stretch of each row's time; rows without one are in the last."""
    return np.searchsorted(edges, seconds(rows, contract.time or ""), side="right")
