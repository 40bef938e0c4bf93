"""Shards: scaled float32 arrays as Parquet, with columns `x/<input>`, `y/<target>`, `weight`."""

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


def to_shard(arrays: Arrays, schema: pa.Schema) -> pa.Table:
    """Return arrays as a table of a shard's columns, null where a target is missing."""
    values = [*arrays.inputs.T, *arrays.targets.T, arrays.weight]
    return pa.table([pa.array(v, pa.float32(), from_pandas=True) for v in values], schema=schema)


def read_shard(file: Path) -> Arrays:
    """Return a shard's arrays: inputs, scaled targets with NaN for missing, weight."""
    content = pq.read_table(file)

    weight = content.column("weight").to_numpy()
    return Arrays(_stack(content, "x/"), _stack(content, "y/"), weight)


def _stack(content: pa.Table, prefix: str) -> NDArray[np.float32]:
    columns = [i for i, name in enumerate(content.column_names) if name.startswith(prefix)]
    out = np.empty((len(content), len(columns)), np.float32)
    for i, column in enumerate(columns):
        out[:, i] = content.column(column).to_numpy()
    return out
