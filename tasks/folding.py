"""Divide rows for cross-validation: every row is a test row in one fold of each repeat.

A fold's other rows are divided into train and validation, in the proportion that the split gives
these two. None is held out for calibration: intervals come from the errors on test rows, which
the fold's model has not seen. Strata are divided one by one. A split by time has a rolling origin
instead: a fold tests on the rows that come next, and learns from all before them.
"""

import heapq
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import (
    BlockedSplit,
    GroupSplit,
    RandomSplit,
    StratifiedSplit,
    TimeSplit,
    seconds,
)
from tasks.database import quoted
from tasks.fold_blocks import blocked_folds
from tasks.records import REFIT, fold_name
from tasks.splitting import hash_sql, strata_sql

if TYPE_CHECKING:
    import duckdb

Labels = NDArray[np.object_]
"""Each row's split (n,) in one fold, or `gap`; None for rows later than the fold's test rows."""


def divide(contract: Contract, database: "duckdb.DuckDBPyConnection", table: str) -> pa.Table:
    """Return `_row` and each row's split in `fold_<i>`, a repeat's folds side by side.

    Where a refit is published, `refit` divides all rows into train and validation.
    """
    split = contract.split
    match split:
        case TimeSplit():
            rows, folds, refit = _in_time(contract, split, database, table)
        case BlockedSplit():
            rows, folds, refit = _in_blocks(contract, split, database, table)
        case StratifiedSplit():
            rows, folds, refit = _in_strata(contract, split, database, table)
        case RandomSplit() | GroupSplit():
            rows, folds, refit = _by_hash(contract, split, database, table)
        case _:
            raise ValueError(f"a split of kind {split.kind} has no folds")
    named = {fold_name(i): labels for i, labels in enumerate(folds)}
    if contract.evaluation.publish == "refit":
        named[fold_name(REFIT)] = refit
    return pa.table({"_row": rows} | {n: pa.array(v, pa.string()) for n, v in named.items()})


def _by_hash(
    contract: Contract, split: RandomSplit | GroupSplit, database: Any, table: str
) -> tuple[Any, list[Labels], Labels]:
    by_row, count, share = isinstance(split, RandomSplit), _count(contract), _share(split)
    names = contract.key if isinstance(split, RandomSplit) else split.columns
    found: list[Labels] = []
    for repeat in range(contract.evaluation.repeats):
        rows, hashes = _column(database, table, hash_sql(f"{split.seed}/{repeat}", names))
        units = Units.of(hashes)
        fold = units.in_turn(count) if by_row else units.dealt(count)
        found += [units.divided(fold == i, (i + 1) / count, share) for i in range(count)]
    return rows, found, units.divided(np.zeros(units.rows.size, bool), 0.0, share)


def _in_time(
    contract: Contract, split: TimeSplit, database: Any, table: str
) -> tuple[Any, list[Labels], Labels]:
    rows, moments = _column(database, table, f"epoch_us({quoted(contract.time or '')}) / 1e6")
    gap, share = seconds(split.gap), _share(split)
    folds = rolling_origin(moments, _count(contract), share, gap)
    return rows, folds, before(moments, np.inf, share, gap)


def _in_blocks(
    contract: Contract, split: BlockedSplit, database: Any, table: str
) -> tuple[Any, list[Labels], Labels]:
    rows, moments = _column(database, table, f"epoch_us({quoted(contract.time or '')}) / 1e6")
    repeats = contract.evaluation.repeats
    return rows, *blocked_folds(moments, split, _share(split), _count(contract), repeats)


def _in_strata(
    contract: Contract, split: StratifiedSplit, database: Any, table: str
) -> tuple[Any, list[Labels], Labels]:
    """Cut each stratum alone; which folds have a row more differs by stratum."""
    count, share = _count(contract), _share(split)
    found: list[Labels] = []
    for repeat in range(contract.evaluation.repeats):
        strata = strata_sql(split, contract.key, table, f"{split.seed}/{repeat}")
        read = database.sql(f"SELECT * FROM ({strata}) ORDER BY _row").fetchnumpy()
        stratum, size = read["stratum"], len(read["_row"])
        folds: list[Labels] = [np.empty(size, object) for _ in range(count)]
        refit: Labels = np.empty(size, object)
        for own in (stratum == value for value in np.unique(stratum)):
            units = Units.of(read["hash"][own])
            fold = (units.in_turn(count) + stratum[own][0]) % count
            refit[own] = units.divided(np.zeros(fold.size, bool), 0.0, share)
            for i, labels in enumerate(folds):
                labels[own] = units.divided(fold == i, (i + 1) / count, share)
        found += folds
    return read["_row"], found, refit


def _count(contract: Contract) -> int:
    return contract.evaluation.folds or 1


def _share(
    split: RandomSplit | GroupSplit | StratifiedSplit | TimeSplit | BlockedSplit,
) -> float:
    """Return validation's share of the rows that are not tested on."""
    return split.validation / (split.train + split.validation)


def _column(database: Any, table: str, value: str) -> tuple[Any, Any]:
    found = database.sql(f"SELECT _row, {value} AS value FROM {table} ORDER BY _row").fetchnumpy()
    return found["_row"], found["value"]


@dataclass(frozen=True)
class Units:
    """What a fold takes whole, rows or groups of rows, in the order of their hashes."""

    of_row: NDArray[np.int64]
    """Each row's unit (n,)."""
    rows: NDArray[np.int64]
    """How many rows each unit has (units,)."""

    @classmethod
    def of(cls, hashes: NDArray[np.int64]) -> "Units":
        """Return the units of rows (n,): those with one hash are one."""
        _, of_row, rows = np.unique(hashes, return_inverse=True, return_counts=True)
        return cls(of_row, rows)

    def in_turn(self, folds: int) -> NDArray[np.int64]:
        """Return each unit's fold (units,): equal stretches of the order.

        Where rows come and go, the ends of the stretches shift, and few rows change their fold.
        """
        return (2 * self._middle).astype(np.int64) * folds // (2 * self._all)

    def dealt(self, folds: int) -> NDArray[np.int64]:
        """Return each unit's fold (units,): one by one to the fold with the fewest rows."""
        heap = [(0, i) for i in range(folds)]
        found = np.empty(self.rows.size, np.int64)
        for unit, rows in enumerate(self.rows.tolist()):
            size, found[unit] = heapq.heappop(heap)
            heapq.heappush(heap, (size + rows, int(found[unit])))
        return found

    def divided(self, test: NDArray[np.bool_], start: float, share: float) -> Labels:
        """Return each row's split (n,) where the units `test` (units,) are the test rows.

        Of the rest, validation takes `share`, at least a unit, on from the place `start` in the
        order, from 0 to 1: that differs by fold, so that all rows take turns.
        """
        order = np.roll(
            np.arange(test.size), -int(np.searchsorted(self._middle, start * self._all))
        )
        rest = order[~test[order]]
        middle = np.cumsum(self.rows[rest]) - self.rows[rest] / 2
        validation = middle < share * self.rows[rest].sum()
        validation[:1] = True
        labels = np.where(test, "test", "train").astype(object)
        labels[rest[validation]] = "validation"
        return labels[self.of_row]

    @property
    def _all(self) -> int:
        return int(self.rows.sum())

    @property
    def _middle(self) -> NDArray[np.float64]:
        """How many rows come before each unit's middle, in order."""
        return np.cumsum(self.rows) - self.rows / 2


def rolling_origin(
    moments: NDArray[np.float64], folds: int, share: float, gap: float
) -> list[Labels]:
    """Return each row's split in each fold; `moments` (n,) and `gap` are in seconds.

    The newer half of the rows is cut into as many parts as folds. A fold tests on one of them,
    and divides all rows before it in order of time: each fold learns from half of all rows or
    more. Rows within `gap` after a cut are left out. Rows of one moment share a split.
    """
    cuts = [_quantile(moments, 0.5 + 0.5 * i / folds) for i in range(folds)]
    found = []
    for cut, end in pairwise([*cuts, np.inf]):
        labels = before(moments, cut, share, gap)
        labels[(moments > cut) & (moments <= end)] = "gap"
        labels[(moments > cut + gap) & (moments <= end)] = "test"
        found.append(labels)
    return found


def before(moments: NDArray[np.float64], cut: float, share: float, gap: float) -> Labels:
    """Return the split of each row up to `cut`: validation takes the newest `share` of them."""
    past = moments <= cut
    inner = _quantile(moments[past], 1 - share)
    labels = np.full(moments.size, None, object)
    labels[past] = "gap"
    labels[moments <= inner] = "train"
    labels[past & (moments > inner + gap)] = "validation"
    return labels


def _quantile(moments: NDArray[np.float64], share: float) -> float:
    """Return the first moment up to which at least `share` of the rows lie."""
    place = max(0, int(np.ceil(share * moments.size - 1e-9)) - 1)
    return float(np.sort(moments)[place])
