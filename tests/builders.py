"""Small contracts, raw rows and shards for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.learning.layout import Block, Layout, Output
from tasks.learning.shards import Arrays
from tasks.preprocess import write_shards
from tasks.records import Candidate, Checked, Shards, Snapshot
from tasks.storage import root_storage
from tasks.train import train_candidate

CHECKED = Checked(
    snapshot=Snapshot(rows=1, columns={}, source=""), rows=1, quarantined=0, expectations=0
)
CANDIDATE = Candidate(
    shards=Shards(checked=CHECKED, folds=(), targets=("a", "b")),
    members=1,
    parameters=1,
    epochs=1,
    best_epoch=1,
    validation_loss=0.0,
    train_seconds=0.0,
    device="cpu",
)
"""A candidate of nothing, for records that need one."""

GROUP_ROWS = 65_536
"""How many rows a row group of a snapshot has."""


def small_contract(**changes: Any) -> Contract:
    """Return a contract of three features and two targets over the columns of `small_rows`."""
    content: dict[str, Any] = {
        "format": 1,
        "dataset": "small",
        "source": {"kind": "parquet", "path": "rows.parquet"},
        "key": ["id"],
        "time": "time",
        "features": {
            "x": {"unit": "m"},
            "z": {"scaling": "robust"},
            "place": {"kind": "categorical"},
            "angle": {"kind": "cyclic", "period": 360},
            "time": {"kind": "timestamp", "parts": ["hour_of_day", "day_of_week"]},
        },
        "targets": {
            "a": {"unit": "K", "present": "x"},
            "b": {"unit": "Pa", "present": "z", "transform": "change"},
        },
        "split": {"kind": "random"},
        # The batches divide the rows: one of another size would be compiled once more.
        "recipe": {"base": "shared_128_64", "hidden": [16], "epochs": 3, "batch_size": 40},
    }
    return Contract.model_validate(content | changes)


def small_rows(count: int = 200, seed: int = 0, missing: float = 0.1) -> pa.Table:
    """Return raw rows whose targets follow from the features, with missing cells."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(5, 2, count), draw.normal(-3, 4, count)
    angle = draw.uniform(0, 360, count)
    hours = np.datetime64("2024-01-01T00", "us") + np.arange(count) * np.timedelta64(1, "h")
    columns: dict[str, Any] = {
        "_row": np.arange(count),
        "id": np.arange(count),
        "time": hours.astype("datetime64[us]"),
        "x": _holes(x, missing, draw),
        "z": _holes(z, missing, draw),
        "place": [["here", "there", None][i] for i in draw.integers(0, 3, count)],
        "angle": _holes(angle, missing, draw),
        "a": _holes(2 * x + 1, missing, draw),
        "b": _holes(z + 0.5 * x, missing, draw),
    }
    return pa.table(columns)


def plain_layout(train: Arrays) -> Layout:
    """Return the layout of arrays whose inputs are all numbers, with targets a, b, and so on."""
    inputs = (Block("numeric", i, i + 1) for i in range(train.inputs.shape[1]))
    outputs = (Output(chr(ord("a") + i)) for i in range(train.targets.shape[1]))
    return Layout(tuple(inputs), tuple(outputs), train)


def replaced(rows: pa.Table, column: str, values: Any) -> pa.Table:
    """Return rows with other values in a column, which is added where it is not there."""
    array = pa.array(values, from_pandas=True)
    if column not in rows.column_names:
        return rows.append_column(column, array)
    return rows.set_column(rows.column_names.index(column), column, array)


def small_shards(contract: Contract, rows: pa.Table, folder: Path) -> Shards:
    """Write rows and no quarantine into `folder`, and their shards into `folder`/out."""
    pq.write_table(rows, folder / "rows.parquet", row_group_size=GROUP_ROWS)
    pq.write_table(rows.slice(0, 0).select(["_row"]), folder / "quarantine.parquet")
    snapshot = Snapshot(rows=len(rows), columns={}, source="")
    checked = Checked(snapshot=snapshot, rows=len(rows), quarantined=0, expectations=0)
    (folder / "out").mkdir()
    files = (folder / "rows.parquet", folder / "quarantine.parquet")
    return write_shards(contract, checked, *files, folder / "out")


def small_candidate(contract: Contract, rows: pa.Table) -> Candidate:
    """Train a candidate on rows, in the storage of the test."""
    storage = root_storage()
    with storage.write("rows") as job:
        pq.write_table(rows, job.folder / "rows.parquet")
        pq.write_table(rows.slice(0, 0).select(["_row"]), job.folder / "quarantine.parquet")
        (job.folder / "validation.json").write_text("{}", "utf-8")
    data = storage.fetch("rows")
    snapshot = Snapshot(place="rows", rows=len(rows), columns={}, source="")
    checked = Checked(
        place="rows", snapshot=snapshot, rows=len(rows), quarantined=0, expectations=0
    )
    with storage.write("shards") as job:
        files = data / "rows.parquet", data / "quarantine.parquet"
        shards = write_shards(contract, checked, *files, job.folder)
    shards = shards.model_copy(update={"place": "shards"})
    with storage.write("candidate") as job:
        candidate = train_candidate(contract, shards, storage.fetch("shards"), job.folder)
    return candidate.model_copy(update={"place": "candidate"})


def _holes(values: Any, share: float, draw: np.random.Generator) -> pa.Array:
    return pa.array(np.where(draw.random(values.size) < share, np.nan, values), from_pandas=True)
