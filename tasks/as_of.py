"""As of a day: the cut that keeps whatever was observed later out of a snapshot.

In: a contract with `source.as_of`, and the columns of its source and of its query's rows with
their DuckDB types. Out: SQL conditions. Raises DataError where the rows have no usable time.

The source is cut before the query runs, where it has the contract's time column: whatever the
query then looks ahead to is not there, so that leads past the day are missing, as they were
then. The query's rows are cut as well, since it may make the time itself.

That is exact only for targets that the query makes. A row that comes with its target ready-made
may hold one that was observed later than its time; and a source without the time column cannot
be cut. The split's gap is what the contract says of how far a row reaches: there, rows within
the gap before the day are left out too.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from data_contracts.contract import Contract
from data_contracts.source import iso
from data_contracts.split import BlockedSplit, TimeSplit, seconds
from tasks.database import quoted
from tasks.errors import DataError

Types = Mapping[str, str]
"""DuckDB's type by column."""


def source_condition(contract: Contract, source: Types) -> str:
    """Return SQL that holds for the source's rows to use: `TRUE` where it cannot be cut."""
    as_of = contract.source.as_of
    kind = time_kind(contract, source)
    return "TRUE" if as_of is None or not is_moment(kind) else before(contract, kind, as_of)


def row_condition(contract: Contract, source: Types, rows: Types) -> str:
    """Return SQL that holds for the query's rows to use. Raises DataError."""
    last = last_moment(contract, source)
    if last is None:
        return "TRUE"
    kind = time_kind(contract, rows)
    if not is_moment(kind):
        raise _no_time(contract, kind)
    return before(contract, kind, last)


def last_moment(contract: Contract, source: Types) -> datetime | None:
    """Return the moment that rows must lie before; None where all rows are used."""
    as_of = contract.source.as_of
    if as_of is None or _exact(contract, source):
        return as_of
    gap = seconds(contract.split.gap) if isinstance(contract.split, TimeSplit | BlockedSplit) else 0
    try:
        return as_of - timedelta(seconds=gap)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _exact(contract: Contract, source: Types) -> bool:
    """Whether cutting the source is enough: it has the time, and the query makes the targets."""
    have = {name.lower() for name in source}
    made = all(target.lower() not in have for target in contract.target_columns)
    return made and is_moment(time_kind(contract, source))


def time_kind(contract: Contract, columns: Types) -> str:
    """Return the type of the time column, empty where there is none. SQL minds no case."""
    kinds = {name.lower(): kind for name, kind in columns.items()}
    return kinds.get((contract.time or "").lower(), "")


def is_moment(kind: str) -> bool:
    """Whether a type of DuckDB's is a point in time."""
    return kind == "DATE" or kind.startswith("TIMESTAMP")


def before(contract: Contract, kind: str, moment: datetime) -> str:
    """Return SQL that holds for rows before a moment.

    It compares in the column's own type, so that Parquet row groups can be skipped.

    A row that has a date alone is known when its day is over: a moment counts as its day.
    """
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    literal = f"TIMESTAMP '{text}'"
    if kind == "DATE":
        literal = f"DATE '{text[:10]}'"
    elif "TIME ZONE" in kind:
        literal = f"TIMESTAMPTZ '{text}+00'"
    return f"{quoted(contract.time or '')} < {literal}"


def _no_time(contract: Contract, kind: str) -> DataError:
    column = quoted(contract.time or "")
    came = f"{column} comes as {kind}" if kind else f"there is no column {column}"
    return DataError(
        f"source.as_of keeps the rows before a moment, by {contract.dataset}'s time column: "
        f"expected a timestamp or a date, and {came}\n"
        f"  cast it in source.query: {column}::TIMESTAMP"
    )


def none_left(contract: Contract, last: datetime, first: object, newest: object) -> DataError:
    """Return the error for a source without a row before `last`, its rows being from `first`
    to `newest`."""
    gap = "" if last == contract.source.as_of else f", split.gap before {_as_of(contract)}"
    has = f"its rows are from {first} to {newest}" if first else "it has no rows with a time"
    return DataError(
        f"{contract.dataset} has no row before {iso(last)}{gap}: {has}. Choose a later source.as_of"
    )


def _as_of(contract: Contract) -> str:
    return iso(contract.source.as_of) if contract.source.as_of else ""
