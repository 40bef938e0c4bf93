"""Sets of rows and how `quality` divides them: folds with train, validation and test rows.

- Rows in no order: `KFold(shuffle=True, random_state=0)` of five, ten where rows are fewest. A
  fifth of each train fold, drawn with the fold's number, validates.
- Rows in order of time: five rolling-origin folds. Rows are cut into six stretches; fold i trains
  on the first i and is tested on the next. The last fifth of the train fold validates. Between
  any two of these lie as many rows as lags and leads reach.
- NAME_published: the split of a published table: a fifth of the rows tests all folds, and
  `KFold(5)` of the others divides them into train and validation rows (SketchBoost, NeurIPS 2022).
"""

import datetime
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.loading import load_contract
from tasks.learning.tables import numbers, seconds
from tests.benchmarks.harness import outside
from tests.benchmarks.sets import contract_of, nyc_weather_rows, read

PUBLISHED = "_published"
UNORDERED = {"slump": 10, "jura": 5, "oes10": 5, "enb": 5, "wq": 5, "rf1": 5, "scm20d": 5}
"""How many folds."""
ORDERED = {"air_quality_uci": 0, "gas_turbine": 0, "beijing_pm25_6h": 9, "nyc_weather": 75}
"""How many rows lags and leads reach. Three rows are an hour of nyc_weather."""
SETS = (
    *list(UNORDERED)[:5],
    "rf1_published",
    "scm20d_published",
    "air_quality_uci",
    "rf1",
    "scm20d",
    "nyc_weather",
    "gas_turbine",
    "beijing_pm25_6h",
)
"""Every set, in the order in which they are run: quick ones first."""
VALIDATION = 0.2
MOMENT = "moment"
"""The time of a row whose set has an order and no time: an hour after the row before."""

Index = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """Places of rows."""

    train: Index
    validation: Index
    test: Index


@dataclass(frozen=True)
class Set:
    """A contract, its rows as a table, and the same rows as numbers; folds of them.

    In `inputs` (rows, columns), categories are one-hot, hours and angles a sine and a cosine;
    NaN is missing, there and in `targets` (rows, targets).
    """

    name: str
    contract: Contract
    rows: pa.Table
    inputs: Values
    targets: Values
    folds: tuple[Fold, ...]

    @property
    def published(self) -> bool:
        """If it is divided as a published table's was."""
        return self.name.endswith(PUBLISHED)

    def digest(self, fold: int) -> str:
        """Return a hash of a fold's rows and of their order."""
        own = self.folds[fold]
        found = hashlib.sha256(repr((self.inputs.shape, self.targets.shape)).encode())
        parts = (self.inputs, self.targets, own.train, own.validation, own.test)
        for part in parts:
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()


def load(name: str) -> Set | None:
    """Return a set, or None, saying so, where it is not there."""
    if name == "nyc_weather":
        return _set(name, *_nyc_weather())
    own = name.removesuffix(PUBLISHED)
    description = outside(own)
    return None if description is None else _set(name, *_outside(own, description))


def _set(name: str, contract: Contract, rows: pa.Table) -> Set:
    targets = np.stack([numbers(rows, t) for t in contract.target_columns], axis=1)
    return Set(name, contract, rows, _inputs(contract, rows), targets, _folds(name, len(rows)))


def _outside(name: str, description: Path) -> tuple[Contract, pa.Table]:
    about = json.loads(description.read_text("utf-8"))
    rows = read(description.parent / about["file"])
    content = contract_of(name, about, rows.column_names)
    if name in ORDERED:
        start, hour = datetime.datetime(2000, 1, 1), datetime.timedelta(hours=1)
        rows = rows.append_column(MOMENT, pa.array([start + i * hour for i in range(len(rows))]))
        content |= {"key": [MOMENT], "time": MOMENT, "split": {"kind": "time"}}
    return Contract.model_validate(content), rows


def _nyc_weather() -> tuple[Contract, pa.Table]:
    """Return the shipped contract, and its rows within bounds in order of time.

    Its targets are plain: all models learn the same values, not the change from the present.
    """
    contract = load_contract("nyc_weather")
    rows = nyc_weather_rows(contract, "SELECT * FROM rows ORDER BY time_hour, origin")
    for column, declared in (contract.feature_columns | contract.target_columns).items():
        bounds = getattr(declared, "bounds", None)
        if bounds is not None:
            values = numbers(rows, column)
            rows = rows.filter(pa.array(~((values < bounds[0]) | (values > bounds[1]))))
    content = contract.model_dump(mode="json")
    for target in content["targets"].values():
        target |= {"present": None, "transform": "standard"}
    return Contract.model_validate(content | {"gate": {}}), rows


def _inputs(contract: Contract, rows: pa.Table) -> Values:
    columns: list[Values] = []
    for name, feature in contract.feature_columns.items():
        match feature.kind:
            case "categorical":
                columns += _one_hot(rows, name)
            case "cyclic":
                columns += _turn(numbers(rows, name) / feature.period)
            case "timestamp":
                columns += _turn(seconds(rows, name) % 86400 / 86400)
            case _:
                columns.append(numbers(rows, name))
    return np.stack(columns, axis=1)


def _one_hot(rows: pa.Table, name: str) -> Iterator[Values]:
    for value in sorted(pc.unique(rows.column(name)).drop_null().to_pylist()):
        own: Any = pc.fill_null(pc.equal(rows.column(name), value), False)
        yield own.to_numpy().astype(np.float64)


def _turn(turns: Values) -> tuple[Values, Values]:
    return np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)


def _folds(name: str, rows: int) -> tuple[Fold, ...]:
    if name.endswith(PUBLISHED):
        return tuple(_published(rows))
    return tuple(_rolling(rows, ORDERED[name]) if name in ORDERED else _shuffled(name, rows))


def _shuffled(name: str, rows: int) -> Iterator[Fold]:
    from sklearn.model_selection import KFold

    folds = KFold(UNORDERED[name], shuffle=True, random_state=0).split(np.arange(rows))
    for i, (own, test) in enumerate(folds):
        order = np.random.default_rng(i).permutation(own)
        validation, train = np.split(order, [int(len(own) * VALIDATION)])
        yield Fold(train, validation, test)


def _rolling(rows: int, gap: int) -> Iterator[Fold]:
    from sklearn.model_selection import TimeSeriesSplit

    for own, test in TimeSeriesSplit(5, gap=gap).split(np.arange(rows)):
        cut = int(len(own) * (1 - VALIDATION))
        yield Fold(own[: cut - gap], own[cut:], test)


def _published(rows: int) -> Iterator[Fold]:
    from sklearn.model_selection import KFold, train_test_split

    own, test = train_test_split(np.arange(rows), test_size=0.2, random_state=42)
    for train, validation in KFold(5, shuffle=True, random_state=42).split(own):
        yield Fold(own[train], own[validation], test)
