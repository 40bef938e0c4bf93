"""How far stretches of the train rows lie from the whole of them: what is usual, and no drift.

A week of weather always differs from a year of it, and rows that hang together tell less than their
number says. So each column is told the greatest effect that any stretch of the train rows had
which was as long as the window of recent rows: only what is past it is news to the model.

In: the view `looked_at`, the histograms of its columns and a window. Out: the same with `usual`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from data_contracts.split import seconds
from tasks.database import literal, quoted
from tasks.learning.reference import Histogram
from tasks.learning.shift import LEAST_ROWS, MEASURES, MOST_BINS, shift_of

if TYPE_CHECKING:
    import duckdb

MOST_STRETCHES = 200
"""The most stretches that are looked at, picked by their number's hash."""
MOST_ROWS = 200_000
"""The most rows of all of them together."""
TOGETHER = 50


def moments(column: str) -> str:
    """Return SQL for a time in microseconds since 1970-01-01 UTC."""
    return f"epoch_us(TRY_CAST({quoted(column)} AS TIMESTAMP))"


def number(column: str) -> str:
    """Return SQL for a column's finite values; others are missing."""
    x = f"{quoted(column)}::DOUBLE"
    return f"CASE WHEN isfinite({x}) THEN {x} END"


def label(column: str) -> str:
    """Return SQL for a label as text: a whole number reads the same whether it is stored as 3 or,
    beside missing ones, as 3.0."""
    name = quoted(column)
    return (
        f"CASE WHEN typeof({name}) IN ('DOUBLE', 'FLOAT') "
        f"THEN regexp_replace({name}::VARCHAR, '\\.0$', '') ELSE {name}::VARCHAR END"
    )


def with_usual(
    database: "duckdb.DuckDBPyConnection", columns: Sequence[Histogram], time: str, window: str
) -> tuple[Histogram, ...]:
    """Return the histograms with what is usual in stretches of a window such as `7d`.

    Nothing is where there are fewer than two stretches with enough rows.
    """
    database.execute(
        f"CREATE OR REPLACE TEMP VIEW stretched AS SELECT *, "
        f"{moments(time)} // {seconds(window) * 1_000_000} AS _stretch FROM looked_at"
    )
    found = database.execute(
        "SELECT _stretch, count(*) AS n FROM stretched WHERE _stretch IS NOT NULL GROUP BY 1 "
        f"HAVING n >= {LEAST_ROWS} ORDER BY hash(_stretch) LIMIT {MOST_STRETCHES}"
    ).fetchall()
    if len(found) < 2:
        return tuple(columns)
    every = -(-sum(n for _, n in found) // MOST_ROWS)
    chosen = ", ".join(str(s) for s, _ in found)
    where = f"_stretch IN ({chosen}) AND hash(_row) % {every} = 0"
    parts = (columns[i : i + TOGETHER] for i in range(0, len(columns), TOGETHER))
    return tuple(c for part in parts for c in _part(database, part, where))


def _part(
    database: "duckdb.DuckDBPyConnection", columns: Sequence[Histogram], where: str
) -> Iterator[Histogram]:
    asked = ", ".join(part for c in columns for part in _asked(c))
    rows = database.execute(
        f"SELECT count(*), {asked} FROM stretched WHERE {where} GROUP BY _stretch"
    ).fetchall()
    for i, column in enumerate(columns):
        found = [_stretch(column, row[0], *row[1 + 3 * i : 4 + 3 * i]) for row in rows]
        shifts = [shift_of(column, histogram) for histogram in found]
        greatest = {
            m: max((abs(v) for s in shifts if (v := s.value(m)) is not None), default=0.0)
            for m in MEASURES
            if m != "new"  # no label of a train row is
        }
        yield replace(column, usual={m: v for m, v in greatest.items() if v})


def _asked(column: Histogram) -> tuple[str, str, str]:
    """Return SQL for the rows with a value, quantiles, and the rows by bin or by label."""
    if column.of_labels:
        first = ", ".join(literal(name) for name in list(column.labels)[:MOST_BINS])
        text = label(column.column)
        place = f"coalesce(list_position([{first}]::VARCHAR[], {text}), 0)"
        return f"count({text})", "NULL", f"histogram({place}) FILTER ({text} IS NOT NULL)"
    x = number(column.column)
    return f"count({x})", quantiles(x, column), counted(x, column.edges)


def quantiles(x: str, column: Histogram) -> str:
    """Return SQL for as many quantiles as a column's reference has."""
    count = len(column.quantiles)
    return f"quantile_disc({x}, {[(i + 0.5) / count for i in range(count)]})"


def counted(x: str, edges: Sequence[float]) -> str:
    """Return SQL for the rows by bin, which `in_bins` reads."""
    return f"histogram({x}, [{', '.join(map(repr, edges))}])"


def in_bins(found: Any, edges: Sequence[float]) -> tuple[int, ...]:
    """Return the rows in each bin; what lies above the last edge is under infinity."""
    counts = found or {}
    return tuple(counts.get(e, 0) for e in (*edges, float("inf")))


def _stretch(
    column: Histogram, rows: int, seen: int, cuts: list[float] | None, counts: Any
) -> Histogram:
    own = replace(column, rows=rows, missing=rows - seen)
    if column.of_labels:
        names, by_place = list(column.labels)[:MOST_BINS], counts or {}
        labels = {name: by_place.get(i + 1, 0) for i, name in enumerate(names)}
        return replace(own, labels=labels, other=by_place.get(0, 0))
    return replace(own, quantiles=tuple(cuts or ()), counts=in_bins(counts, column.edges))
