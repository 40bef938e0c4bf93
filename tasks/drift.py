"""How far the test rows have moved from the train rows, column by column.

In: a contract, its Shards, the snapshot's rows and the splits. Out: a Drift per column, the worst
first.
The measure is the population stability index: the sum over bins of (test share - train share)
times the logarithm of their ratio. A numeric column's bins hold a tenth of the train rows each, a
label has a bin of its own, and so have missing cells. Below 0.1 is read as little, above 0.25 as
large (Siddiqi 2006, Credit Risk Scorecards). Where nothing has moved, the index is near (1/n +
1/m) times a chi-squared number (Yurdakul & Naranjo 2020): what lies within that is chance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.database import connect, literal, quoted
from tasks.learning import shift
from tasks.records import Shards

if TYPE_CHECKING:
    import duckdb

MOST_COLUMNS = 200
"""The most columns that are looked at: targets, then features in order."""
MOST_ROWS = 100_000
"""The most rows of a split that the bins are made and filled from, picked by their number's hash.
Ranges are those of all rows."""
MOST_LABELS = 20
"""The most labels with a bin of their own; rarer ones share one."""
TOGETHER = 50
"""How many columns one query reads: planning takes the square of it."""
LITTLE, LARGE = 0.1, 0.25
DECILES = [i / 10 for i in range(1, 10)]

Counts = NDArray[np.float64]
Reading = Literal["within chance", "little", "moderate", "large"]


@dataclass(frozen=True)
class Drift:
    """How one column's test rows differ from its train rows."""

    column: str
    target: bool
    unit: str
    index: float
    """The population stability index."""
    chance: float
    """What 19 of 20 columns stay below where nothing has moved, for rows that are independent."""
    low: float | None = None
    """The least and the greatest value of the train rows; None for labels."""
    high: float | None = None
    outside: float | None = None
    """The share of test rows with a value outside of that range; None for labels."""
    distance: float | None = None
    """The Wasserstein distance in units of the spread; None for labels, and where rows are few."""
    missing: float | None = None
    """By how much the share of missing values has changed; None for targets."""
    labels: tuple[str, ...] = ()
    """Some labels that are in the test rows alone."""

    @property
    def reading(self) -> Reading:
        """The index in words."""
        if self.index <= self.chance:
            return "within chance"
        return "little" if self.index < LITTLE else "moderate" if self.index < LARGE else "large"


def drift(contract: Contract, shards: Shards, rows: Path, splits: Path) -> list[Drift]:
    """Return the drift of at most MOST_COLUMNS columns, the greatest index first.

    `rows` is the snapshot's file, `splits` the file that says which row is in which split; of
    several folds the first is looked at. Columns that hold times, or nothing in the train rows,
    have none.
    """
    fold = shards.folds[0]
    kinds = _kinds(contract, shards.checked.snapshot.columns)
    with connect([rows, splits]) as database:
        database.execute(
            f"CREATE TEMP VIEW split_rows AS {_both(fold.index, fold.rows, rows, splits)}"
        )
        found = [
            _drift(contract, name, *parts)
            for start in range(0, len(kinds), TOGETHER)
            for name, parts in _parts(database, dict(list(kinds.items())[start : start + TOGETHER]))
        ]
    return sorted(found, key=lambda d: -d.index)


def _kinds(contract: Contract, types: Mapping[str, str]) -> dict[str, str]:
    """Return `number` or `label` for each column that is looked at."""
    features = {c: f.kind for c, f in contract.feature_columns.items() if f.kind != "timestamp"}
    kinds = dict.fromkeys(contract.target_columns, "numeric") | features
    first = list(kinds)[:MOST_COLUMNS]
    text = ("string", "large_string", "dictionary")
    return {
        c: "label" if kinds[c] == "categorical" or types.get(c, "").startswith(text) else "number"
        for c in first
    }


def _both(fold: int, counts: Mapping[str, int], rows: Path, splits: Path) -> str:
    """Return SQL of the train and test rows, with `is_test`, and `picked` for bins."""
    every = {s: -(-counts.get(s, 0) // MOST_ROWS) or 1 for s in ("train", "test")}
    picked = f"hash(_row) % CASE WHEN is_test THEN {every['test']} ELSE {every['train']} END = 0"
    chosen = (
        f"SELECT _row, fold_{fold} = 'test' AS is_test FROM read_parquet({literal(str(splits))}) "
        f"WHERE fold_{fold} IN ('train', 'test')"
    )
    return (
        f"SELECT *, {picked} AS picked FROM read_parquet({literal(str(rows))}) "
        f"JOIN ({chosen}) USING (_row)"
    )


@dataclass(frozen=True)
class _Range:
    low: float
    high: float
    edges: list[float]
    """The upper ends of all bins but the last."""


Bins = dict[Any, int]


def _parts(
    database: "duckdb.DuckDBPyConnection", kinds: Mapping[str, str]
) -> Iterator[tuple[str, tuple[_Range | None, Bins, Bins, float | None]]]:
    """Yield each column with its range, its rows by bin in train and test rows, and the share
    of test rows out of range."""
    ranges = _ranges(database, [n for n, kind in kinds.items() if kind == "number"])
    names = [n for n, kind in kinds.items() if kind == "label" or n in ranges]
    bins = [_bins(n, ranges.get(n)) for n in names]
    train, test = (
        _asked(database, bins, f"picked AND {which}") for which in ("NOT is_test", "is_test")
    )
    outside = _asked(database, [_outside(n, r) for n, r in ranges.items()], "is_test")
    shares = dict(zip(ranges, outside, strict=True))
    for name, first, second in zip(names, train, test, strict=True):
        yield name, (ranges.get(name), first or {}, second or {}, shares.get(name))


def _ranges(database: "duckdb.DuckDBPyConnection", names: list[str]) -> dict[str, _Range]:
    """Return the train rows' range and deciles of each column that holds a number there."""
    values = [_number(n) for n in names]
    ends = _asked(database, [f"[min({x}), max({x})]" for x in values], "NOT is_test")
    deciles = [f"quantile_disc({x}, {DECILES})" for x in values]
    cuts = _asked(database, deciles, "picked AND NOT is_test")
    return {
        name: _Range(low, high, sorted({*edges, high}))
        for name, (low, high), edges in zip(names, ends, cuts, strict=True)
        if low is not None and edges is not None
    }


def _number(column: str) -> str:
    x = f"{quoted(column)}::DOUBLE"
    return f"CASE WHEN isfinite({x}) THEN {x} END"


def _bins(name: str, found: _Range | None) -> str:
    """Return SQL that counts a column's rows by bin: by label where it has no range."""
    if found is None:
        # A missing label is a bin too, and no text of the column is the key of its bin.
        label = quoted(name)
        return f"histogram(CASE WHEN {label} IS NULL THEN '-' ELSE '+' || {label}::VARCHAR END)"
    # The first bin is for what is missing, and one of its own for all above the last edge.
    edges = ", ".join(map(repr, found.edges))
    return f"histogram(coalesce({_number(name)}, '-inf'::DOUBLE), ['-inf'::DOUBLE, {edges}])"


def _outside(name: str, found: _Range) -> str:
    x = _number(name)
    return f"avg(({x} < {found.low!r} OR {x} > {found.high!r})::INT)"


def _asked(database: "duckdb.DuckDBPyConnection", asked: list[str], where: str) -> list[Any]:
    """Return the one row that a list of aggregates makes of the rows that a condition holds for.

    A condition of the whole query costs a fifth of one on each aggregate.
    """
    if not asked:
        return []
    query = f"SELECT {', '.join(asked)} FROM split_rows WHERE {where}"
    return list(database.execute(query).fetchall()[0])


def _drift(
    contract: Contract,
    name: str,
    found: _Range | None,
    train: Bins,
    test: Bins,
    outside: float | None,
) -> Drift:
    index, chance = stability(*_aligned(train, test))
    target = name in contract.target_columns
    meaning = contract.target_columns[name] if target else contract.feature_columns[name]
    return Drift(
        column=name,
        target=target,
        unit=getattr(meaning, "unit", ""),
        index=index,
        chance=chance,
        low=found.low if found else None,
        high=found.high if found else None,
        outside=outside,
    )


def _aligned(train: Bins, test: Bins) -> tuple[Counts, Counts]:
    """Return both counts (bins,) in one order; labels past MOST_LABELS share the last bin."""
    keys = sorted({*train, *test}, key=lambda k: (-train.get(k, 0), str(k)))
    pairs = np.array([[train.get(k, 0), test.get(k, 0)] for k in keys], dtype="float64")
    pairs = pairs.reshape(-1, 2)
    rest = pairs[MOST_LABELS:].sum(axis=0, keepdims=True)
    kept = np.concatenate([pairs[:MOST_LABELS], rest]) if len(pairs) > MOST_LABELS else pairs
    return kept[:, 0], kept[:, 1]


def stability(train: Counts, test: Counts) -> tuple[float, float]:
    """Return the population stability index of two counts (bins,), and what is chance in it.

    Both are 0 where either has no rows, or there is one bin.
    """
    seen = (train > 0) | (test > 0)
    train, test = train[seen], test[seen]
    if not train.sum() or not test.sum() or len(train) < 2:
        return 0.0, 0.0
    chance = (1 / train.sum() + 1 / test.sum()) * _chi_squared(len(train) - 1)
    return shift.stability(train, test), float(chance)


def _chi_squared(degrees: int) -> float:
    """Return what 19 of 20 chi-squared numbers are below (Wilson & Hilferty 1931)."""
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + 1.645 * part**0.5) ** 3)
