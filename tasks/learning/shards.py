"""Shards: scaled float32 arrays as Parquet, with columns `x/<input>`, `y/<target>`, `weight`.

A shard is one file, or a folder of files where there are many rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.learning.preprocessing import Preprocessing
from tasks.learning.tables import numbers

if TYPE_CHECKING:
    from data_contracts.contract import Contract


@dataclass(frozen=True)
class Arrays:
    """Scaled rows: `inputs` (n, inputs), `targets` (n, targets) with NaN, `weight` (n,)."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weight: NDArray[np.float32]


def to_arrays(contract: "Contract", preprocessing: Preprocessing, rows: pa.Table) -> Arrays:
    """Return raw rows as scaled arrays; row weights are 1 where the contract names none."""
    weight = np.ones(len(rows))
    if contract.row_weight:
        weight = numbers(rows, contract.row_weight)
    return Arrays(preprocessing.encode(rows), preprocessing.scale(rows), weight.astype(np.float32))


def shard_schema(preprocessing: Preprocessing) -> pa.Schema:
    """Return the columns of a shard."""
    names = [f"x/{n}" for n in preprocessing.inputs] + [f"y/{n}" for n in preprocessing.targets]
    return pa.schema([pa.field(name, pa.float32()) for name in (*names, "weight")])


def to_columns(
    contract: "Contract",
    preprocessing: Preprocessing,
    rows: pa.Table,
    before: Mapping[str, NDArray[np.float64]] | None = None,
) -> NDArray[np.float32]:
    """Return raw rows as a shard's columns, (columns, n), with NaN for missing targets.

    `before` holds, by column, what stands in for missing values (n,), where a feature is filled
    from the rows before.
    """
    inputs, targets = len(preprocessing.inputs), len(preprocessing.targets)
    whole = np.ones((inputs + targets + 1, len(rows)), np.float32)
    preprocessing.encode_columns(rows, before, whole[:inputs])
    preprocessing.scale_columns(rows, whole[inputs:-1])
    if contract.row_weight:
        whole[-1] = numbers(rows, contract.row_weight)
    return whole


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
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    content = pa.concat_tables(pq.read_table(file) for file in files)

    weight = content.column("weight").to_numpy()
    return Arrays(_stack(content, "x/"), _stack(content, "y/"), weight)


def _stack(content: pa.Table, prefix: str) -> NDArray[np.float32]:
    columns = [i for i, name in enumerate(content.column_names) if name.startswith(prefix)]
    out = np.empty((len(content), len(columns)), np.float32)
    for i, column in enumerate(columns):
        out[:, i] = content.column(column).to_numpy()
    return out
