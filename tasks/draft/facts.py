"""What DuckDB says of each column of a source: type, missing cells, range, labels.

In: a connection with the view `source`. Out: Facts by column, from one query for sixteen columns,
and one more for what only some of them are asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tasks.database import quoted

if TYPE_CHECKING:
    import duckdb

COLUMNS = 16
"""How many columns one query asks of: planning one costs more than in proportion to them."""
HELD = 20_000_000
"""Up to so many cells are held in memory, and read once."""
FEW = 20
"""So many labels are listed at most."""
NEAR = 0.9
"""Columns with so many different values, as a share of rows by an estimate, may be unique."""

Kind = Literal["number", "flag", "text", "time", "odd"]
_INTEGERS = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"
}  # fmt: skip
_ASKED = 7


@dataclass(frozen=True)
class Fact:
    """One column. Numbers are as they are, times are seconds since 1970."""

    name: str
    type: str
    kind: Kind
    rows: int = 0
    known: int = 0
    """Rows with a value."""
    distinct: int = 0
    """How many values there are, by an estimate where `labels` and `unique` do not say."""
    infinite: int = 0
    whole: bool = False
    """True where all its numbers are whole, and all its times midnights."""
    least: float | None = None
    most: float | None = None
    low: float | None = None
    """Below it lies a hundredth of the rows."""
    high: float | None = None
    labels: tuple[str | int, ...] = ()
    """All its values in order, where they are few and the column is text or whole numbers."""
    unique: bool = False
    """True where each row has a value of its own."""

    @property
    def integer(self) -> bool:
        """True where its type holds whole numbers alone."""
        return self.type in _INTEGERS

    @property
    def missing(self) -> float:
        """The share of rows without a value."""
        return 1 - self.known / self.rows if self.rows else 0.0

    @property
    def constant(self) -> bool:
        """True where all its values are alike."""
        if self.kind in ("number", "time"):
            return self.least == self.most
        return self.distinct <= 1


def kind_of(name: str) -> Kind:
    """Return what a column of a DuckDB type may be."""
    if name in _INTEGERS or name in ("FLOAT", "DOUBLE") or name.startswith("DECIMAL"):
        return "number" if name[-2:] != "[]" else "odd"
    if name == "BOOLEAN":
        return "flag"
    if name == "VARCHAR" or (name.startswith("ENUM(") and name.endswith(")")):
        return "text"
    timed = name == "DATE" or name.startswith("TIMESTAMP")
    return "time" if timed and not name.endswith("]") else "odd"


def types(database: "duckdb.DuckDBPyConnection", table: str = "source") -> dict[str, str]:
    """Return the columns of a table with their DuckDB types."""
    return {row[0]: row[1] for row in database.execute(f"DESCRIBE {table}").fetchall()}


def facts(database: "duckdb.DuckDBPyConnection") -> dict[str, Fact]:
    """Return what there is to say of each column of `source`."""
    (rows,) = one(database, "SELECT count(*) FROM source")
    have = types(database)
    if rows * len(have) <= HELD:
        database.execute("CREATE TABLE held AS FROM source")
        database.execute("CREATE OR REPLACE VIEW source AS FROM held")
    kinds = [Fact(n, t, kind_of(t), rows) for n, t in have.items()]
    asked = [f for f in kinds if f.kind != "odd"]
    first = dict(_first(database, asked))
    found = {f.name: first.get(f.name, f) for f in kinds}
    for fact in _second(database, [f for f in found.values() if f.kind != "odd"]):
        found[fact.name] = fact
    return found


def value(fact: Fact) -> str:
    """Return SQL for a column's value, which is missing where it is no number."""
    name = quoted(fact.name)
    floating = fact.type in ("FLOAT", "DOUBLE")
    return f"(CASE WHEN isnan({name}) THEN NULL ELSE {name} END)" if floating else name


def _first(
    database: "duckdb.DuckDBPyConnection", asked: Sequence[Fact]
) -> Iterator[tuple[str, Fact]]:
    for start in range(0, len(asked), COLUMNS):
        part = asked[start : start + COLUMNS]
        answer = one(database, f"SELECT {', '.join(map(_aggregates, part))} FROM source")
        for place, fact in enumerate(part):
            known, distinct, infinite, broken, least, most, ends = answer[
                _ASKED * place : _ASKED * (place + 1)
            ]
            low, high = ends or (None, None)
            yield (
                fact.name,
                replace(
                    fact, known=known, distinct=min(distinct, known), infinite=infinite or 0,
                    whole=broken == 0, least=least, most=most, low=low, high=high,
                ),
            )  # fmt: skip


def _aggregates(fact: Fact) -> str:
    """Return SQL for the _ASKED answers of a column."""
    own = value(fact)
    counts = f"count({own}), approx_count_distinct({own})"
    if fact.kind == "number":
        number = f"CAST({own} AS DOUBLE)"
        finite = f"FILTER (WHERE isfinite({number}))"
        infinite = f"count(*) FILTER (WHERE isinf({number}))"
        broken = f"count(*) FILTER (WHERE isfinite({number}) AND {number} <> floor({number}))"
        ends = f"approx_quantile({number}, [0.01, 0.99]) {finite}"
        limits = f"min({number}) {finite}, max({number}) {finite}"
        return f"{counts}, {infinite}, {broken}, {limits}, {ends}"
    if fact.kind == "time":
        # Nanoseconds have fewer functions than microseconds.
        zoned = "TZ" in fact.type or "TIME ZONE" in fact.type
        own = f"CAST({own} AS {'TIMESTAMPTZ' if zoned else 'TIMESTAMP'})"
        finite = f"FILTER (WHERE isfinite({own}))"
        infinite = f"count(*) FILTER (WHERE NOT isfinite({own}))"
        moment = f"epoch({own})"
        broken = f"count(*) FILTER (WHERE isfinite({own}) AND {moment} % 86400 <> 0)"
        limits = f"min({moment}) {finite}, max({moment}) {finite}"
        return f"{counts}, {infinite}, {broken}, {limits}, NULL"
    return f"{counts}, 0, NULL, NULL, NULL, NULL"


def _second(database: "duckdb.DuckDBPyConnection", known: Sequence[Fact]) -> Iterator[Fact]:
    """Yield the columns whose labels or uniqueness the estimates leave open."""
    names = [f for f in known if f.integer or f.kind in ("text", "time")]
    near = [f for f in names if f.known == f.rows and f.distinct >= NEAR * f.rows]
    few = [f for f in known if 0 < f.distinct <= FEW and (f.kind == "text" or f.integer)]
    wanted = {
        **{f"unique {f.name}": f"count(DISTINCT {quoted(f.name)})" for f in near},
        **{f"labels {f.name}": _labels(f) for f in few},
    }
    answers: dict[str, Any] = {}
    for start in range(0, len(wanted), COLUMNS):
        part = list(wanted.items())[start : start + COLUMNS]
        row = one(database, f"SELECT {', '.join(sql for _, sql in part)} FROM source")
        answers |= dict(zip((name for name, _ in part), row, strict=True))
    for fact in {f.name: f for f in (*near, *few)}.values():
        count = answers.get(f"unique {fact.name}")
        labels = tuple(answers.get(f"labels {fact.name}") or ())
        yield replace(
            fact,
            unique=count is not None and count == fact.rows,
            labels=labels,
            distinct=count if count is not None else len(labels) or fact.distinct,
        )


def _labels(fact: Fact) -> str:
    plain = "" if fact.integer else "::VARCHAR"
    own = f"{quoted(fact.name)}{plain}"
    return f"list_sort(list(DISTINCT {own}) FILTER (WHERE {own} IS NOT NULL))"


def one(database: "duckdb.DuckDBPyConnection", query: str) -> tuple[Any, ...]:
    """Return the only row of a query's answer."""
    (row,) = database.execute(query).fetchall()
    return tuple(row)
