"""Histograms of a contract's columns, counted by DuckDB.

In: a Parquet file of rows. Out: a Reference of them, or their Histograms in the bins of one.
Columns that hold times have none.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.contract import Contract
from tasks.database import connect, literal, quoted
from tasks.learning.reference import MOST_LABELS, QUANTILES, Histogram, Reference
from tasks.usual import counted, in_bins, label, number, with_usual

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 200_000
"""The most rows that quantiles and bins are made and filled from, picked by their number's hash.
Ranges, spreads and missing values are those of all rows."""
TOGETHER = 50
"""How many columns one query reads: planning takes the square of it."""
LATER_LABELS = 10 * MOST_LABELS
_SHARES = [(i + 0.5) / QUANTILES for i in range(QUANTILES)]
_DECILES = [i / 10 for i in range(1, 10)]

Types = Mapping[str, str]


def reference(
    contract: Contract,
    types: Types,
    rows: Path,
    splits: Path,
    folds: Sequence[str],
    window: str,
) -> Reference:
    """Return the reference of the train rows of some divisions of a snapshot's rows.

    `types` are the snapshot's columns; `folds` are columns of the file `splits`. Quarantined rows
    are in no split. `window` is how long recent rows reach back, such as `7d`.
    """
    train = " OR ".join(f"{quoted(f)} = 'train'" for f in folds)
    chosen = f"SELECT _row FROM read_parquet({literal(str(splits))}) WHERE {train}"
    with connect([rows, splits]) as database:
        count = _look_at(database, f"read_parquet({literal(str(rows))})", chosen)
        columns = tuple(_described(database, contract, types))
        if is_timed(contract, types):
            columns = with_usual(database, columns, contract.time or "", window)
    return Reference(count, columns)


def compared(
    found: Reference,
    types: Types,
    rows: Path,
    where: str | None = None,
    splits: Path | None = None,
) -> list[tuple[Histogram, Histogram]]:
    """Return each column of a reference with the same of other rows, counted in its bins.

    `where` is SQL for the `_row` of those that are meant, which may read `splits`; all when None.
    Columns that the rows do not have are left out.
    """
    own = [c for c in found.columns if c.column in types]
    with connect(filter(None, (rows, splits))) as database:
        _look_at(database, f"read_parquet({literal(str(rows))})", where)
        numbers = [c for c in own if not c.of_labels]
        later = {h.column: h for part in _cut(numbers) for h in _recounted(database, part)}
        for column in own:
            if column.of_labels:
                later[column.column] = _labels(database, column.column, column.target, LATER_LABELS)
    return [(c, later[c.column]) for c in own]


def is_timed(contract: Contract, types: Types) -> bool:
    """Say whether rows have a point in time; a number does not say its unit."""
    moments = ("timestamp", "date", "string", "large_string")
    return contract.time is not None and types.get(contract.time, "").startswith(moments)


def kinds(contract: Contract, types: Types) -> dict[str, str]:
    """Return `number`, `cycle` or `label` for each column that is looked at, targets first."""
    features = {c: f.kind for c, f in contract.feature_columns.items() if f.kind != "timestamp"}
    known = dict.fromkeys(contract.target_columns, "numeric") | features
    text = ("string", "large_string", "dictionary")
    return {
        c: "label"
        if kind == "categorical" or types.get(c, "").startswith(text)
        else "cycle" if kind == "cyclic" else "number"
        for c, kind in known.items()
    }  # fmt: skip


def _look_at(database: "duckdb.DuckDBPyConnection", source: str, chosen: str | None) -> int:
    """Make the view `looked_at`, with `_picked` for bins; return how many rows it has."""
    where = f"WHERE _row IN ({chosen})" if chosen else ""
    (count,) = database.execute(f"SELECT count(*) FROM {source} {where}").fetchall()[0]
    every = -(-count // MOST_ROWS) or 1
    database.execute(
        f"CREATE OR REPLACE TEMP VIEW looked_at AS SELECT *, hash(_row) % {every} = 0 AS _picked "
        f"FROM {source} {where}"
    )
    return int(count)


def _described(
    database: "duckdb.DuckDBPyConnection", contract: Contract, types: Types
) -> Iterator[Histogram]:
    known = kinds(contract, types)
    targets = set(contract.target_columns)
    made: dict[str, Histogram] = {}
    for part in _cut([c for c, kind in known.items() if kind != "label"]):
        for histogram in _numbers(database, part, targets, known):
            made[histogram.column] = histogram
    for column, kind in known.items():
        if kind == "label":
            made[column] = _labels(database, column, column in targets, MOST_LABELS)
    return (made[c] for c in known if c in made)


def _cut(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[i : i + TOGETHER] for i in range(0, len(items), TOGETHER))


def _summary(column: str) -> str:
    x = number(column)
    return (
        f"[count(*)::DOUBLE, count({x})::DOUBLE, min({x}), max({x}), stddev_pop({x})], "
        f"quantile_disc({x}, {_SHARES}) FILTER (_picked)"
    )


def _numbers(
    database: "duckdb.DuckDBPyConnection",
    names: Sequence[str],
    targets: set[str],
    known: Mapping[str, str],
) -> Iterator[Histogram]:
    """Yield the histograms of columns that hold a number anywhere."""
    asked = [
        part for n in names for part in (_summary(n), f"quantile_disc({number(n)}, {_DECILES}) "
                                         "FILTER (_picked)")
    ]  # fmt: skip
    found = iter(_asked(database, asked))
    for_bins: dict[str, tuple[float, ...]] = {}
    parts = {}
    for name, facts, quantiles, deciles in zip(names, found, found, found, strict=True):
        if facts[1] and quantiles:
            for_bins[name] = _edges(facts[2], facts[3], deciles)
            parts[name] = facts, quantiles
    counts = iter(_asked(database, [_counted(n, e) for n, e in for_bins.items()]))
    for name, edges in for_bins.items():
        (rows, seen, low, high, spread), quantiles = parts[name]
        yield Histogram(
            name,
            name in targets,
            rows=int(rows),
            missing=int(rows - seen),
            low=low,
            high=high,
            spread=spread,
            cyclic=known[name] == "cycle",
            quantiles=tuple(quantiles),
            edges=edges,
            counts=in_bins(next(counts), edges),
        )


def _edges(low: float, high: float, deciles: Sequence[float]) -> tuple[float, ...]:
    """Return the upper ends of all bins but the last: one more on either side is for values that
    no row of the reference had."""
    return tuple(sorted({float(np.nextafter(low, -np.inf)), *deciles, high}))


def _counted(name: str, edges: Sequence[float]) -> str:
    return f"{counted(number(name), edges)} FILTER (_picked)"


def _recounted(
    database: "duckdb.DuckDBPyConnection", columns: Sequence[Histogram]
) -> Iterator[Histogram]:
    """Yield columns of numbers as the rows have them that are looked at."""
    asked = [p for c in columns for p in (_summary(c.column), _counted(c.column, c.edges))]
    found = iter(_asked(database, asked))
    for was, facts, quantiles, bins in zip(columns, found, found, found, strict=True):
        rows, seen, low, high, spread = facts
        yield Histogram(
            was.column,
            was.target,
            rows=int(rows),
            missing=int(rows - seen),
            low=low,
            high=high,
            spread=spread,
            cyclic=was.cyclic,
            quantiles=tuple(quantiles or ()),
            edges=was.edges,
            counts=in_bins(bins, was.edges),
        )


def _labels(database: "duckdb.DuckDBPyConnection", name: str, target: bool, most: int) -> Histogram:
    rows, seen, labels = _frequent(database, name, most)
    other = seen - sum(labels.values())
    return Histogram(name, target, rows, rows - seen, labels=labels, other=other)


def _frequent(
    database: "duckdb.DuckDBPyConnection", name: str, most: int
) -> tuple[int, int, dict[str, int]]:
    """Return the rows, those with a label, and the rows by label, the most frequent ones."""
    column = quoted(name)
    rows, seen = database.execute(f"SELECT count(*), count({column}) FROM looked_at").fetchall()[0]
    found = database.execute(
        f"SELECT {label(name)} AS label, count(*) AS n FROM looked_at "
        f"WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY n DESC, label LIMIT {most}"
    ).fetchall()
    return int(rows), int(seen), {str(label): int(n) for label, n in found}


def _asked(database: "duckdb.DuckDBPyConnection", asked: list[str]) -> list[Any]:
    """Return the one row that a list of aggregates makes of what is looked at."""
    if not asked:
        return []
    return list(database.execute(f"SELECT {', '.join(asked)} FROM looked_at").fetchall()[0])
