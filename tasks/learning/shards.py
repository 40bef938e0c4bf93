"""Shards: scaled float32 arrays as Parquet, with columns `x/<input>`, `y/<target>`, `weight`.

A shard is one file, or a folder of files where there are many rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.learning.preprocessing import Preprocessing
from tasks.learning.tables import AT_ONCE, numbers

if TYPE_CHECKING:
    from data_contracts.contract import Contract


@dataclass(frozen=True)
class Arrays:
    """Scaled rows: `inputs` (n, inputs), `targets` (n, targets) with NaN, `weight` (n,)."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weight: NDArray[np.float32]

    @property
    def matrix(self) -> NDArray[np.float32]:
        """Inputs, targets and weight side by side; no copy where a shard was read so."""
        width = self.inputs.shape[1] + self.targets.shape[1] + 1
        starts = [a.ctypes.data - self.inputs.ctypes.data for a in (self.targets, self.weight)]
        together = self.inputs.base is not None and (
            self.inputs.base is self.targets.base is self.weight.base
            and starts == [4 * self.inputs.shape[1], 4 * (width - 1)]
            and self.inputs.strides == self.targets.strides == (4 * width, 4)
            and self.weight.strides == (4 * width,)
        )
        if together:
            return np.lib.stride_tricks.as_strided(self.inputs, (len(self.weight), width))
        whole = empty(len(self.weight), width)
        np.concatenate([self.inputs, self.targets, self.weight[:, None]], axis=1, out=whole)
        return whole


ALIGNED = 64
"""Bytes at a multiple of which numbers begin that a device takes as they lie."""


def empty(rows: int, columns: int) -> NDArray[np.float32]:
    """Return an array of anything, aligned."""
    raw = np.empty(rows * columns + ALIGNED // 4, np.float32)
    start = -raw.ctypes.data % ALIGNED // 4
    return raw[start : start + rows * columns].reshape(rows, columns)


def of_matrix(whole: NDArray[np.float32], inputs: int) -> Arrays:
    """Return views of inputs, targets and weight that lie side by side."""
    return Arrays(whole[:, :inputs], whole[:, inputs:-1], whole[:, -1])


def to_arrays(contract: "Contract", preprocessing: Preprocessing, rows: pa.Table) -> Arrays:
    """Return raw rows as scaled arrays; row weights are 1 where the contract names none."""
    weight = np.ones(len(rows))
    if contract.row_weight:
        weight = numbers(rows, contract.row_weight)
    return Arrays(preprocessing.encode(rows), preprocessing.scale(rows), weight.astype(np.float32))


def shard_schema(preprocessing: Preprocessing) -> pa.Schema:
    """Return the columns of a shard. Targets alone may be null; else no cell is marked as there."""
    inputs = [pa.field(f"x/{n}", pa.float32(), nullable=False) for n in preprocessing.inputs]
    targets = [pa.field(f"y/{n}", pa.float32()) for n in preprocessing.targets]
    return pa.schema([*inputs, *targets, pa.field("weight", pa.float32(), nullable=False)])


def to_columns(
    contract: "Contract", preprocessing: Preprocessing, rows: pa.Table
) -> NDArray[np.float32]:
    """Return raw rows as a shard's columns, (columns, n), with NaN for missing targets."""
    columns = len(preprocessing.inputs) + len(preprocessing.targets) + 1
    whole = np.empty((columns, len(rows)), np.float32)
    for start, some in some_columns(contract, preprocessing, rows.select, len(rows), {}):
        whole[start : start + len(some)] = some
    return whole


def some_columns(
    contract: "Contract",
    preprocessing: Preprocessing,
    read: Callable[[Sequence[str]], pa.Table],
    count: int,
    before: Mapping[str, NDArray[np.float64]],
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield a few of a shard's columns (few, count) at a time, with the place of the first.

    They are to be used before the next are asked for. `read` returns columns of the raw rows.
    `before` holds, by column, what stands in for missing values (count,), where a feature is
    filled from the rows before.
    """
    start, parts = 0, list(preprocessing.parts(AT_ONCE))
    room = np.empty((max(len(p.inputs) + len(p.targets) for p in parts), count), np.float32)
    for part in parts:
        rows = read((*part.targets, *part.columns))
        middle = len(part.inputs)
        some = room[: middle + len(part.targets)]
        part.encode_columns(rows, before, some[:middle])
        part.scale_columns(rows, some[middle:])
        yield start, some
        start += len(some)
    weight = contract.row_weight
    room[0] = numbers(read([weight]), weight) if weight else 1
    yield start, room[:1]


def to_shard(columns: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    """Return a shard's columns (columns, n) as a table, null where a target is missing."""
    values = [
        pa.array(v, pa.float32(), from_pandas=name.startswith("y/"))
        for name, v in zip(schema.names, columns, strict=True)
    ]
    return pa.table(values, schema=schema)


def shard_writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Return what writes a shard. Scaled numbers hardly repeat: a dictionary of them is dear, and
    what compresses better than LZ4 takes twice the time for a tenth of the room."""
    return pq.ParquetWriter(
        file, schema, compression="lz4", use_dictionary=False, write_statistics=False
    )


def read_shard(place: Path) -> Arrays:
    """Return a shard's arrays: inputs, scaled targets with NaN for missing, weight.

    `place` is a Parquet file, or a folder of them that are read in order of their names.
    """
    files = _files(place)
    whole = _stack(pa.concat_tables(pq.read_table(file) for file in files))
    return of_matrix(whole, _inputs(files))


def size(place: Path) -> tuple[int, int]:
    """Return how many rows and columns a shard has."""
    found = [pq.read_metadata(file) for file in _files(place)]
    return sum(f.num_rows for f in found), found[0].num_columns


def spread(place: Path, file: Path, most: int) -> Arrays:
    """Write a shard's rows into a file of float32, row after row, which is read without decoding.

    Returns an even choice of at most `most` rows. Raises OSError where the disk is full.
    """
    count, columns = size(place)
    every = -(-count // max(1, min(count, most)))
    some = np.empty((-(-count // every), columns), np.float32)
    done = 0
    with file.open("wb", buffering=0) as out:
        for source in _files(place):
            for batch in pq.ParquetFile(source).iter_batches(READ_ROWS):
                whole = _stack(pa.Table.from_batches([batch]))
                out.write(whole.data)
                chosen = whole[-done % every :: every]
                start = -(-done // every)
                some[start : start + len(chosen)] = chosen
                done += len(whole)
    return of_matrix(some, _inputs(_files(place)))


READ_ROWS = 1 << 14


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.parquet")) if place.is_dir() else [place]


def _inputs(files: list[Path]) -> int:
    return sum(name.startswith("x/") for name in pq.read_schema(files[0]).names)


def _stack(content: pa.Table) -> NDArray[np.float32]:
    """Return a shard's columns side by side: inputs, targets, weight."""
    out = empty(len(content), content.num_columns)
    for i, column in enumerate(content.columns):
        out[:, i] = column.to_numpy()
    return out
