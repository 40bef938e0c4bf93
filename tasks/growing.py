"""A source that grows: which rows of the last snapshot stay, and from when on the source is read.

In: a contract with `source.incremental` or `source.window`, and the last snapshot's rows. Out: SQL
conditions, and SQL for all rows. Raises DataError where there is no usable time.

A row of the query looks at most `incremental` back or ahead. So rows that are older than that
before the newest row can no longer change as the source grows: they stay. Newer ones are made
again, and for the oldest of these the source is read from twice as far back on. Rows without a
time, which validation sets aside, are all made again, from the part that is read.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from data_contracts.duration import seconds
from data_contracts.source import moment
from tasks.as_of import Types, before, is_moment, time_kind
from tasks.database import last_time, literal, quoted
from tasks.errors import DataError
from tasks.storage import digest, root_storage

if TYPE_CHECKING:
    import duckdb

FOLDER = "last_snapshots"


@dataclass(frozen=True)
class Kept:
    """The last snapshot's rows, and the moments that tell which of them stay."""

    file: Path
    until: datetime
    """Rows before this moment stay."""
    since: datetime
    """The source is read from this moment on."""
    identity: str = ""
    """What told the source of the last snapshot from another."""
    recent: str = ""
    """What told its rows from `since` on from others, where only reading them does."""

    def source_condition(self, contract: Contract, source: Types) -> str:
        """Return SQL that holds for the source's rows to read. Raises DataError."""
        return _from(contract, _dated(contract, source, "the source"), self.since)

    def rows(self, contract: Contract, rows: Types, made: str) -> str:
        """Return SQL for all rows, `made` being SQL for those of the query. Raises DataError."""
        kind = _dated(contract, rows, "source.query")
        stay = f"SELECT * EXCLUDE _row FROM read_parquet({literal(str(self.file))})"
        stay += f" WHERE {before(contract, kind, self.until)}"
        return f"{stay} UNION ALL {made} AND {_from(contract, kind, self.until)}"

    def told(self, rows: int) -> str:
        """Return what stays and what was read, of so many rows that there are now."""
        import pyarrow.parquet as pq

        before = pq.read_metadata(self.file).num_rows
        until, since = (f"{when:%Y-%m-%d %H:%M:%S}" for when in (self.until, self.since))
        return (
            f"{rows:,} rows now, {before:,} last time: rows before {until} UTC stay as they were, "
            f"the source was read from {since} UTC on"
        )

    def fits(self, database: "duckdb.DuckDBPyConnection", rows: Types) -> bool:
        """Whether the rows that stay have the query's columns and types."""
        found = database.execute(f"DESCRIBE FROM read_parquet({literal(str(self.file))})")
        return {r[0]: r[1] for r in found.fetchall() if r[0] != "_row"} == dict(rows)


def kept(contract: Contract, code: str) -> Kept | None:
    """Return what the last snapshot keeps; None where the whole source is to be read."""
    reach, storage = contract.source.incremental, root_storage()
    if reach is None or contract.source.as_of is not None:
        return None
    content = storage.read(_pointer(contract, code))
    if content is None:
        return None
    known: dict[str, str] = json.loads(content)
    place = known["place"]
    if storage.manifest(place) is None:
        return None
    file = storage.fetch(place) / "rows.parquet"
    newest = last_time(file, contract.time or "")
    if newest is None:
        return None
    until = earlier(moment(newest), seconds(reach))
    since = earlier(until, seconds(reach))
    return Kept(file, until, since, known.get("identity", ""), known.get("recent", ""))


def remember(
    contract: Contract, code: str, place: str, recent: Callable[[Kept], str] | None = None
) -> None:
    """Have the next run begin with the snapshot at a place.

    `recent` returns what tells the source's rows that the next run reads from others.
    """
    if contract.source.incremental is None or contract.source.as_of is not None:
        return
    known, file = {"place": place}, _pointer(contract, code)
    root_storage().put(file, json.dumps(known).encode())
    last = kept(contract, code) if recent else None
    if recent is not None and last is not None:
        known["recent"] = recent(last)
        known["identity"] = (root_storage().manifest(place) or {})["record"]["source"]
        root_storage().put(file, json.dumps(known).encode())


def start_over(contract: Contract, code: str) -> None:
    """Have the next run read all of the source."""
    root_storage().drop(_pointer(contract, code))


def check_dated(contract: Contract, rows: Types) -> None:
    """Raise DataError where the query's rows of a source that grows have no usable time."""
    if contract.source.incremental is not None and contract.source.as_of is None:
        _dated(contract, rows, "source.query")


def window_condition(
    database: "duckdb.DuckDBPyConnection", contract: Contract, rows: Types, every: str
) -> str:
    """Return SQL that holds for the rows of `source.window`, `every` being SQL for all rows."""
    if contract.source.window is None:
        return "TRUE"
    kind, time = _dated(contract, rows, "source.query"), quoted(contract.time or "")
    newest = f"SELECT make_timestamp(max(epoch_us({time}))) FROM ({every})"
    ((found,),) = database.execute(newest).fetchall()
    if found is None:
        return "TRUE"
    start = earlier(found.replace(tzinfo=UTC), seconds(contract.source.window))
    return f"NOT ({before(contract, kind, start)})"


def _pointer(contract: Contract, code: str) -> str:
    """Return where the last snapshot of this source, query and code is written down."""
    asks = [contract.source.model_dump(mode="json"), contract.key, contract.time, code]
    return f"{FOLDER}/{contract.dataset}/{digest(asks)[:16]}.json"


def _from(contract: Contract, kind: str, start: datetime) -> str:
    time = quoted(contract.time or "")
    return f"(NOT ({before(contract, kind, start)}) OR {time} IS NULL)"


def earlier(when: datetime, by: int) -> datetime:
    """Return the moment some seconds before another."""
    try:
        return when - timedelta(seconds=by)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _dated(contract: Contract, columns: Types, where: str) -> str:
    """Return the type of the time column. Raises DataError where it is no time."""
    kind = time_kind(contract, columns)
    if not is_moment(kind):
        asks = "incremental" if contract.source.incremental else "window"
        came = f"it comes as {kind}" if kind else "there is none"
        raise DataError(
            f"source.{asks} needs {contract.dataset}'s time column {quoted(contract.time or '')} "
            f"as a timestamp or a date in {where}: {came}"
        )
    return kind
