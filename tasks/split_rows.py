"""The raw rows of some splits, read in blocks: their number never decides how much memory is used.

In: the snapshot's `rows.parquet` and the shards' `splits.parquet`. Out: Arrow tables with `_row`
and the columns asked for, in order of `_row`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.forward_fill import FILE, StandIns
from tasks.records import fold_name

BLOCK_ROWS = 65_536
"""The most rows that a block has."""


def split_rows(
    rows: Path,
    splits: Path,
    folds: Sequence[int],
    wanted: Sequence[str],
    columns: Sequence[str],
    filled: bool = False,
) -> Iterator[pa.Table]:
    """Yield the raw rows that belong to one of the `wanted` splits in any of the `folds`.

    Quarantined rows have no split. Blocks have `_row` in front, and at least one row; `filled`
    asks for what stands in for missing values too, where features are filled from rows before.
    """
    before = StandIns(splits.with_name(FILE)) if filled else None
    names = list(dict.fromkeys(["_row", *columns]))
    with pq.ParquetFile(rows) as file:
        chosen = _chosen(splits, folds, wanted, file.metadata.num_rows)
        for batch in file.iter_batches(BLOCK_ROWS, columns=names):
            # A name with a dot may bring more columns along.
            block = pa.Table.from_batches([batch]).select(names)
            block = block.filter(pa.array(chosen[block.column("_row").to_numpy()]))
            if len(block):
                ids = block.column("_row").to_numpy()
                yield before.beside(block, ids) if before else block


def _chosen(
    splits: Path, folds: Sequence[int], wanted: Sequence[str], count: int
) -> NDArray[np.bool_]:
    """Return for each of `count` rows of the snapshot whether it is asked for: a byte a row."""
    chosen = np.zeros(count, dtype=bool)
    names = [fold_name(i) for i in folds]
    with pq.ParquetFile(splits) as file:
        for batch in file.iter_batches(columns=["_row", *names]):
            own = np.zeros(len(batch), dtype=bool)
            for name in names:
                own |= pc.is_in(batch.column(name), pa.array(wanted)).to_numpy(False)
            chosen[batch.column("_row").to_numpy()[own]] = True
    return chosen
