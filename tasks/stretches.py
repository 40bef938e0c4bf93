"""The two passes over a snapshot: sums of its train rows, and its shards. Stretch by stretch.

A stretch is some row groups of the snapshot that follow each other: what one processor takes at
once. Neither what is summed nor what is written depends on who takes which, or when.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import SPLITS
from tasks.division import Codes
from tasks.learning.column_sums import Draw
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import shard_schema, shard_writer, some_columns, to_shard
from tasks.learning.sketch import KNOTS
from tasks.learning.train_sums import TrainSums, merged

PART_ROWS = 65_536
"""How many rows a row group of a shard has."""
STRETCH_ROWS = 4 * PART_ROWS
"""How many rows a stretch has at least, but for the last one."""
DRAWN = 2**20
"""How many train rows are sorted for quantiles that come from a sketch: of more, a share of each
block, drawn by chance. A share of all values that lies below a quantile of n drawn is off by more
than sqrt(log(2 / p) / (2 n)) with probability p at most (Massart 1990, "The tight constant in the
Dvoretzky-Kiefer-Wolfowitz inequality"): by 0.27 %, once in a million columns."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """Row groups of a file, and the `_row` of their first and after their last row."""

    groups: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Rows:
    """A snapshot's `rows.parquet`, and the code of the split of each of its rows."""

    file: Path
    codes: Codes

    @cached_property
    def metadata(self) -> pq.FileMetaData:
        """The file's, parsed once for all stretches."""
        return pq.read_metadata(self.file)

    @cached_property
    def train(self) -> int:
        """How many rows are for training."""
        return int(np.count_nonzero(self.codes == 0))

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """The stretches in order; `_row` counts the rows of the file from 0."""
        found, groups, start, stop = [], [], 0, 0
        for group in range(self.metadata.num_row_groups):
            groups.append(group)
            stop += self.metadata.row_group(group).num_rows
            if stop - start >= STRETCH_ROWS or group == self.metadata.num_row_groups - 1:
                found.append(Stretch(tuple(groups), start, stop))
                groups, start = [], stop
        return tuple(found)

    def blocks(self, stretch: Stretch, wanted: Sequence[int]) -> Iterator["Block"]:
        """Yield the row groups of a stretch that have rows whose split is wanted."""
        if not _among(self.codes[stretch.start : stretch.stop], wanted).any():
            return
        stop = stretch.start
        # Mapped, the file is not copied before it is decoded. Nobody changes a snapshot's rows.
        with pq.ParquetFile(self.file, metadata=self.metadata, memory_map=True) as file:
            for group in stretch.groups:
                start, stop = stop, stop + self.metadata.row_group(group).num_rows
                own = _among(self.codes[start:stop], wanted)
                if own.any():
                    rows = np.flatnonzero(own)
                    codes = self.codes[start:stop][rows]
                    yield Block(file, group, start - stretch.start, rows, codes)


def _among(codes: Codes, wanted: Sequence[int]) -> NDArray[np.bool_]:
    own = np.zeros(codes.size, np.bool_)
    for code in wanted:
        own |= codes == code
    return own


@dataclass(frozen=True)
class Block:
    """Rows of a row group whose split is wanted. They are read some columns at a time."""

    file: pq.ParquetFile
    group: int
    start: int
    """The place of the row group's first row in the stretch."""
    rows: NDArray[np.int64]
    """The places of the rows in the row group (n,)."""
    codes: Codes
    """Of each row, its split's code (n,)."""

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows."""
        whole = self.read_whole(columns)
        return whole if len(whole) == self.rows.size else whole.take(pa.array(self.rows))

    def read_whole(self, columns: Sequence[str]) -> pa.Table:
        """Return columns of all rows of the row group."""
        names = list(dict.fromkeys(columns))
        # Half as dear as by `iter_batches`. A name with a dot may bring more columns along.
        return self.file.read_row_group(self.group, names, use_threads=False).select(names)


@dataclass(frozen=True)
class Pass:
    """What a pass needs: of the second alone are the fitted numbers and where it writes."""

    contract: Contract
    rows: Rows
    preprocessing: Preprocessing | None = None
    folder: Path = Path()
    before: Path | None = None
    """A row group a stretch with what stands in for missing values, where a feature needs it."""


def sum_stretch(job: Pass, index: int) -> TrainSums:
    """Return the sums over the train rows of a stretch."""
    blocks = job.rows.blocks(job.rows.stretches[index], [0])
    share = DRAWN / job.rows.train
    return merged(
        TrainSums.of(
            job.contract, b.read_whole, b.rows, Draw(b.group, sorted_rows(b.rows.size, share))
        )
        for b in blocks
    )


def sorted_rows(rows: int, share: float) -> int:
    """Return how many of a block's train rows are sorted: a share, and enough to fill a sketch."""
    return min(rows, max(math.ceil(share * rows), KNOTS))


def train_rows(contract: Contract, rows: Rows) -> pa.Table:
    """Return all train rows, with the columns that fitting needs."""
    names = ["_row", *fit_columns(contract)]
    parts = [b.read(names) for stretch in rows.stretches for b in rows.blocks(stretch, [0])]
    return pa.concat_tables(parts)


def write_stretch(job: Pass, index: int) -> None:
    """Write the rows of a stretch into the shards of their splits."""
    rows, stretch = job.rows, job.rows.stretches[index]
    preprocessing = job.preprocessing
    if preprocessing is None:
        raise ValueError("shards need fitted numbers")
    schema = shard_schema(preprocessing)
    codes = rows.codes[stretch.start : stretch.stop]
    ends = np.cumsum([np.count_nonzero(codes == code) for code in range(len(SPLITS))]).tolist()
    whole = _room(len(schema), ends[-1], keep=len(rows.stretches) > 1)
    _fill(job, preprocessing, index, [0, *ends[:-1]], whole)
    for split, start, end in zip(SPLITS, [0, *ends], ends, strict=False):
        if start < end:
            place = job.folder / f"{split}.parquet"
            if len(rows.stretches) > 1:
                place.mkdir(exist_ok=True)
                place /= f"{index:06}.parquet"
            _write(place, schema, whole[:, start:end])


def _fill(
    job: Pass, preprocessing: Preprocessing, index: int, starts: list[int], whole: Float32
) -> None:
    """Write a stretch's rows into `whole` (columns, n), those of a split from its start on."""
    before, starts = _before(job, index), starts.copy()
    for block in job.rows.blocks(job.rows.stretches[index], range(len(SPLITS))):
        parts = []
        for code, start in enumerate(starts):
            places = np.flatnonzero(block.codes == code)
            starts[code] += places.size
            parts += [(places, slice(start, starts[code]))] if places.size else []
        own = {c: values[block.start + block.rows] for c, values in before.items()}
        some = some_columns(job.contract, preprocessing, block.read, block.rows.size, own)
        for first, columns in some:
            for column, out in zip(columns, whole[first:], strict=False):
                for places, part in parts:
                    np.take(column, places, out=out[part], mode="clip")


_kept = threading.local()
"""By thread, the memory of its last stretch: new memory is dear. It goes when the thread ends."""


def _room(columns: int, rows: int, keep: bool) -> Float32:
    size = columns * rows
    have: Float32 = getattr(_kept, "room", np.empty(0, np.float32))
    if have.size < size:
        have = np.empty(size, np.float32)
    if keep:
        _kept.room = have
    return have[:size].reshape(columns, rows)


def _write(file: Path, schema: pa.Schema, columns: Float32) -> None:
    with shard_writer(file, schema) as writer:
        for start in range(0, columns.shape[1], PART_ROWS):
            writer.write_table(to_shard(columns[:, start : start + PART_ROWS], schema))


def _before(job: Pass, index: int) -> dict[str, NDArray[np.float64]]:
    if job.before is None:
        return {}
    with pq.ParquetFile(job.before) as file:
        table = file.read_row_group(index)
    return {c: np.asarray(table.column(c).to_numpy(), np.float64) for c in table.column_names}


def fit_columns(contract: Contract) -> list[str]:
    """Return the columns that encoders and scalers are fitted on."""
    presents = contract.present_columns.values()
    names = [*contract.feature_columns, *contract.target_columns, *presents]
    return list(dict.fromkeys(names))


def write_empty(folder: Path, schema: pa.Schema) -> None:
    """Write a shard of no rows for each split that has none."""
    for split in SPLITS:
        file = folder / f"{split}.parquet"
        if not file.exists():
            with shard_writer(file, schema) as writer:
                writer.write_table(schema.empty_table())
