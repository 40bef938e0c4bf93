"""Data sets for benchmarks: a contract, and train, validation and test rows of it.

`nyc_weather` is the shipped contract's query over its source, divided in time as the contract
says. The others lie outside, described by JSON beside their rows (`harness.outside`): targets,
inputs, nominal columns. They are divided at random with a seed, 64 to 16 to 20.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from tasks.database import connect
from tasks.ingest import locate, take_snapshot
from tasks.splitting import split_sql
from tests.benchmarks.harness import outside

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION = 0.64, 0.16


@dataclass(frozen=True)
class DataSet:
    """A contract, and raw rows of it by split."""

    name: str
    contract: Contract
    train: pa.Table
    validation: pa.Table
    test: pa.Table

    def capped(self, rows: int) -> "DataSet":
        """Return the set with at most `rows` rows in each split, drawn with a seed."""
        parts = {s: _some(getattr(self, s), rows) for s in SPLITS}
        return DataSet(self.name, self.contract, **parts)


def nyc_weather() -> DataSet:
    """Return three-hour forecasts of New York's weather, the last rows in time as test."""
    contract = load_contract("nyc_weather")
    own = split_sql(contract, "rows")
    rows = nyc_weather_rows(
        contract, f"SELECT rows.*, split FROM rows JOIN ({own}) USING (_row) ORDER BY _row"
    )
    label = np.array(rows.column("split").to_pylist())
    parts = {s: rows.filter(pa.array(label == s)) for s in SPLITS}
    return DataSet("nyc_weather", contract, **parts)


def nyc_weather_rows(contract: Contract, statement: str) -> pa.Table:
    """Return what SQL says of `rows`, which are those of the shipped contract's query."""
    with tempfile.TemporaryDirectory() as folder:
        take_snapshot(contract, locate(contract), Path(folder))
        file = Path(folder) / "rows.parquet"
        with connect([file]) as database:
            database.sql(f"CREATE VIEW rows AS SELECT * FROM '{file}'")
            return database.sql(statement).to_arrow_table()


def outside_set(name: str) -> DataSet | None:
    """Return an outside set divided at random, or None, saying so, where it is not there."""
    description = outside(name)
    if description is None:
        return None
    about = json.loads(description.read_text("utf-8"))
    rows = read(description.parent / about["file"])
    contract = Contract.model_validate(contract_of(name, about, rows.column_names))
    order = np.random.default_rng(0).permutation(len(rows))
    cuts = [int(len(rows) * share) for share in (TRAIN, TRAIN + VALIDATION)]
    parts = {s: rows.take(i) for s, i in zip(SPLITS, np.split(order, cuts), strict=True)}
    return DataSet(name, contract, **parts)


def contract_of(name: str, about: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    """Return the content of an outside set's contract; all of its values have no unit."""
    left_out = {*about["targets"], *about.get("drop", ())}
    inputs = about.get("inputs") or [c for c in columns if c not in left_out]
    nominal = about.get("nominal_columns", {})
    return {
        "format": 1,
        "dataset": name,
        "source": {"kind": "parquet", "path": about["file"]},
        "key": [inputs[0]],
        "features": {c: {"kind": "categorical"} if c in nominal else {} for c in inputs},
        "targets": {t: {"unit": "1"} for t in about["targets"]},
        "split": {"kind": "random"},
        "recipe": {"architecture": "shared"},
    }


def read(file: Path) -> pa.Table:
    """Return the rows of a Parquet or CSV file."""
    return pq.read_table(file) if file.suffix == ".parquet" else pyarrow.csv.read_csv(file)


def _some(rows: pa.Table, most: int) -> pa.Table:
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(0).permutation(len(rows))[:most]))
