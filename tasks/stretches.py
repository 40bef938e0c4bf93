"""The two passes over a snapshot: sums of its train rows, and its shards. Stretch by stretch.

A stretch is some row groups of the snapshot that follow each other: what one processor takes at
once. Neither what is summed nor what is written depends on who takes which, or when.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import SPLITS
from tasks.division import Codes
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import shard_schema, shard_writer, to_columns, to_shard
from tasks.learning.train_sums import TrainSums, merged

BLOCK_ROWS = 65_536
"""The most rows that are summed or scaled at once."""
STRETCH_ROWS = 4 * BLOCK_ROWS
"""How many rows a stretch has at least, but for the last one."""

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
    def stretches(self) -> tuple[Stretch, ...]:
        """The stretches in order; `_row` counts the rows of the file from 0."""
        found, groups, start, stop = [], [], 0, 0
        metadata = pq.read_metadata(self.file)
        for group in range(metadata.num_row_groups):
            groups.append(group)
            stop += metadata.row_group(group).num_rows
            if stop - start >= STRETCH_ROWS or group == metadata.num_row_groups - 1:
                found.append(Stretch(tuple(groups), start, stop))
                groups, start = [], stop
        return tuple(found)

    def blocks(
        self, stretch: Stretch, wanted: Sequence[int], columns: Sequence[str]
    ) -> Iterator[tuple[pa.Table, Codes, NDArray[np.int64]]]:
        """Yield rows of a stretch whose split is wanted, with their codes (n,) and places in it."""
        names, place = list(dict.fromkeys(["_row", *columns])), stretch.start
        if not _among(self.codes[place : stretch.stop], wanted).any():
            return
        with pq.ParquetFile(self.file) as file:
            for batch in _batches(file, stretch, names):
                codes = self.codes[place : place + len(batch)]
                own = _among(codes, wanted)
                places = np.flatnonzero(own) + (place - stretch.start)
                place += len(batch)
                if own.all():
                    yield batch, codes, places
                elif own.any():
                    yield batch.filter(pa.array(own)), codes[own], places


def _batches(file: pq.ParquetFile, stretch: Stretch, names: list[str]) -> Iterator[pa.Table]:
    for group in stretch.groups:
        # Half as dear as by `iter_batches`. A name with a dot may bring more columns along.
        whole = file.read_row_group(group, names, use_threads=False).select(names)
        for start in range(0, len(whole), BLOCK_ROWS):
            yield whole.slice(start, BLOCK_ROWS)


def _among(codes: Codes, wanted: Sequence[int]) -> NDArray[np.bool_]:
    own = np.zeros(codes.size, np.bool_)
    for code in wanted:
        own |= codes == code
    return own


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
    contract, rows = job.contract, job.rows
    train = rows.blocks(rows.stretches[index], [0], fit_columns(contract))
    return merged(TrainSums.of(contract, block) for block, _, _ in train)


def train_rows(contract: Contract, rows: Rows) -> pa.Table:
    """Return all train rows, with the columns that fitting needs."""
    names = ["_row", *fit_columns(contract)]
    parts = [
        block for stretch in rows.stretches for block, _, _ in rows.blocks(stretch, [0], names[1:])
    ]
    return pa.concat_tables(parts)


def write_stretch(job: Pass, index: int) -> None:
    """Write the rows of a stretch into the shards of their splits."""
    preprocessing = job.preprocessing
    if preprocessing is None:
        raise ValueError("shards need fitted numbers")
    rows, one = job.rows, len(job.rows.stretches) == 1
    names = [*fit_columns(job.contract), *filter(None, [job.contract.row_weight])]
    before = _before(job, index)
    parts = Parts(job.folder, shard_schema(preprocessing), None if one else index)
    try:
        for block, codes, places in rows.blocks(rows.stretches[index], range(len(SPLITS)), names):
            own = {c: values[places] for c, values in before.items()}
            columns = to_columns(job.contract, preprocessing, block, own)
            for code in np.unique(codes):
                parts.add(int(code), columns, np.flatnonzero(codes == code))
    finally:
        parts.close()


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


class Parts:
    """The files that one stretch writes, a split each, opened when rows of it come."""

    def __init__(self, folder: Path, schema: pa.Schema, index: int | None) -> None:
        """`index` names a stretch's part of a shard; None for a shard in one file."""
        self.folder, self.schema, self.index = folder, schema, index
        self.waiting: dict[int, Float32] = {}
        """By split, room for a row group: taken once, since new memory is dear."""
        self.filled: dict[int, int] = {}
        self.writers: dict[int, Any] = {}

    def add(self, code: int, columns: Float32, places: NDArray[np.int64]) -> None:
        """Add rows, `places` (n,) of (columns, rows), to a split; full row groups are written."""
        if code not in self.waiting:
            self.waiting[code] = np.empty((len(columns), BLOCK_ROWS), np.float32)
            self.filled[code] = 0
        start = 0
        while start < places.size:
            have = self.filled[code]
            part = places[start : start + BLOCK_ROWS - have]
            for row, room in zip(columns, self.waiting[code], strict=True):
                np.take(row, part, out=room[have : have + part.size], mode="clip")
            self.filled[code] += part.size
            start += part.size
            if self.filled[code] == BLOCK_ROWS:
                self._write(code)

    def close(self) -> None:
        """Write what waits, and end the files."""
        try:
            for code in [c for c, rows in self.filled.items() if rows]:
                self._write(code)
        finally:
            for writer in self.writers.values():
                writer.close()

    def _write(self, code: int) -> None:
        if code not in self.writers:
            self.writers[code] = shard_writer(self._file(SPLITS[code]), self.schema)
        rows, self.filled[code] = self.filled[code], 0
        self.writers[code].write_table(to_shard(self.waiting[code][:, :rows], self.schema))

    def _file(self, split: str) -> Path:
        place = self.folder / f"{split}.parquet"
        if self.index is None:
            return place
        place.mkdir(exist_ok=True)
        return place / f"{self.index:06}.parquet"


def write_empty(folder: Path, schema: pa.Schema) -> None:
    """Write a shard of no rows for each split that has none."""
    for split in SPLITS:
        file = folder / f"{split}.parquet"
        if not file.exists():
            with shard_writer(file, schema) as writer:
                writer.write_table(schema.empty_table())
