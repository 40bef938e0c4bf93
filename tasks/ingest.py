"""Ingest: run the contract's query over its source and keep the rows as a snapshot.

In: a contract. Out: a Snapshot with `rows.parquet`, the query's rows in order of the key, each
numbered in `_row`. NaN becomes a missing value: the two mean the same here. With `source.as_of`,
what was observed from then on is left out.
Raises DataError where the source is missing, empty, unreadable or not what the query needs.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from tasks.addresses import clean
from tasks.as_of import last_moment, none_left, row_condition, source_condition
from tasks.database import columns, first_line, quoted
from tasks.errors import DataError
from tasks.growing import Kept, check_dated, kept, remember, start_over, window_condition
from tasks.learning.news import told_by
from tasks.orchestration import markdown, stage_task
from tasks.records import Snapshot
from tasks.sources import Located, NoTime, cut_of, locate, opened
from tasks.stage import Stage, code_digest

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 65_536
log = logging.getLogger("polycast")


def take_snapshot(
    contract: Contract, source: Located, folder: Path, last: Kept | None = None
) -> Snapshot:
    """Write `rows.parquet` into `folder` and return its Snapshot. Raises DataError.

    `last` is what stays of the last snapshot. Where a database was asked for some rows and the
    query cannot go on from them, it is asked for all.
    """
    if source.whole is None:
        return _snapshot(contract, source, folder, last)
    try:
        return _snapshot(contract, source, folder, last)
    except NoTime:
        raise
    except DataError:
        found = _snapshot(contract, source.whole(), folder)
        return found.model_copy(update={"source": source.identity()})


def _snapshot(
    contract: Contract, source: Located, folder: Path, last: Kept | None = None
) -> Snapshot:
    import duckdb

    more = [last.file] if last else []
    try:
        with opened(source, folder, *more) as (database, reader):
            file = folder / "rows.parquet"
            count, types = _take(database, contract, source, reader, file, last)
    except duckdb.ConversionException as error:
        raise _unconverted(source.name, error) from None
    except duckdb.ParserException as error:
        raise DataError(f"source.query is not valid SQL: {first_line(error)}") from None
    except duckdb.Error as error:
        raise DataError(f"{source.name} cannot be read: {clean(first_line(error))}") from None
    return Snapshot(rows=count, columns=types, source=source.identity())


def _take(
    database: "duckdb.DuckDBPyConnection",
    contract: Contract,
    source: Located,
    reader: str,
    file: Path,
    last: Kept | None,
) -> tuple[int, dict[str, str]]:
    """Write the query's rows; return how many there are and their columns' types."""
    import duckdb

    have: dict[str, str] = {}
    try:
        have = _open(database, contract, reader)
        if source.misread is not None:
            source.misread(have)
        rows = _types(database, f"({_query(contract)})")
        check_dated(contract, rows)
        if last is not None and not last.fits(database, rows):
            if source.whole is not None:
                raise DataError(f"{source.name} answers other columns or types than before")
            last = None
        if last is not None and source.whole is None:
            _open(database, contract, reader, last.source_condition(contract, have))
        wanted = _rows(database, contract, have, rows, last)
        stream = database.sql(wanted).to_arrow_reader(BATCH_ROWS)
        count, types = _write(stream, file)
        if last is not None:
            log.info(last.told(count), extra=told_by(STAGE.name))
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise _misfit(have, source.name, error) from None
    end = last_moment(contract, have)
    if end is not None and count == 0:
        raise none_left(contract, end, *_span(database, contract, reader))
    return count, types


def _query(contract: Contract) -> str:
    """Return the query so that it can stand in brackets: it may end in `;` or in a comment."""
    query = contract.source.query or "FROM source"
    return f"{query.rstrip().removesuffix(';')}\n"


def _open(
    database: "duckdb.DuckDBPyConnection", contract: Contract, reader: str, more: str = "TRUE"
) -> dict[str, str]:
    """Make the view `source`, cut as of the contract's day and to what holds `more`; return its
    columns' types."""
    database.execute(f"CREATE OR REPLACE VIEW source AS SELECT * FROM {reader}")
    have = _types(database, "source")
    condition = source_condition(contract, have)
    database.execute(
        f"CREATE OR REPLACE VIEW source AS SELECT * FROM {reader} WHERE {condition} AND {more}"
    )
    return have


def _types(database: "duckdb.DuckDBPyConnection", table: str) -> dict[str, str]:
    """Return the columns of a table or of a query in brackets, each with its DuckDB type."""
    return {row[0]: row[1] for row in database.execute(f"DESCRIBE {table}").fetchall()}


def _rows(
    database: "duckdb.DuckDBPyConnection",
    contract: Contract,
    source: dict[str, str],
    rows: dict[str, str],
    last: Kept | None,
) -> str:
    """Return SQL for the rows to keep, in order of the key columns that the query really has:
    validation names the rest. `source` and `rows` hold the source's and the query's columns."""
    order = columns([c for c in contract.key if c in rows]) or "ALL"
    wanted = f"SELECT * FROM ({_query(contract)}) WHERE {row_condition(contract, source, rows)}"
    wanted = last.rows(contract, rows, wanted) if last else wanted
    window = window_condition(database, contract, rows, wanted)
    return f"SELECT * FROM ({wanted}) WHERE {window} ORDER BY {order}"


def _span(database: "duckdb.DuckDBPyConnection", contract: Contract, reader: str) -> Any:
    """Return the first and the last time of all rows that there are now, as text."""
    database.execute(f"CREATE OR REPLACE VIEW source AS SELECT * FROM {reader}")
    time = quoted(contract.time or "")
    found = f"SELECT min({time})::VARCHAR, max({time})::VARCHAR FROM ({_query(contract)})"
    return database.execute(found).fetchone()


RESERVED = ("_row", "_reasons")
"""Columns that Polycast itself adds to rows."""


def _write(stream: "pa.RecordBatchReader", file: Path) -> tuple[int, dict[str, str]]:
    """Write the batches with `_row` in front; return the row count and the column types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    taken = sorted(set(stream.schema.names) & set(RESERVED))
    if taken:
        raise DataError(f"source.query yields {', '.join(taken)}, a name that Polycast uses itself")
    schema = pa.schema([pa.field("_row", pa.int64()), *stream.schema])
    count = 0
    # A dictionary of measured numbers is as long as they are, and twice as dear to write.
    repeated = [f.name for f in schema if not pa.types.is_floating(f.type)]
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeated) as writer:
        for batch in stream:
            numbers = pa.array(range(count, count + len(batch)), pa.int64())
            writer.write_batch(
                pa.record_batch([numbers, *map(_nan_is_missing, batch.columns)], schema=schema)
            )
            count += len(batch)
    return count, {field.name: str(field.type) for field in stream.schema}


def _nan_is_missing(column: "pa.Array") -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _misfit(have: dict[str, str], source: str, error: Exception) -> DataError:
    return DataError(
        f"source.query does not fit {source}: {first_line(error)}\n"
        f"  the source has: {', '.join(map(quoted, have))}\n"
        "  rename the column in source.query, or mend the source"
    )


def _unconverted(source: str, error: Exception) -> DataError:
    """Tell a cast of the query's that fails from a CSV file whose values change their type."""
    words = first_line(error)
    if "CSV Error" in words:
        return DataError(f"{source} cannot be read: {words}")
    return DataError(
        f"a value of {source} cannot be converted: {words}. Use TRY_CAST in source.query where "
        "such values are to be missing"
    )


def _reads(contract: Contract) -> Any:
    """The source but for its path: a file that moves is the same file."""
    source = contract.source.model_dump(mode="json", exclude={"path", "name", "connection"})
    split = contract.split.model_dump(mode="json")
    cut = [contract.time, split, list(contract.target_columns)] if contract.source.as_of else None
    dated = contract.source.window or contract.source.incremental
    return [source, contract.key, cut, contract.time if dated else None]


STAGE = Stage("ingest", "snapshots", Snapshot, __name__, _reads)


def find(contract: Contract) -> Snapshot | None:
    """Return the finished snapshot of the source as it is now, or None."""
    return STAGE.find(contract, located(contract).identity())


def located(contract: Contract) -> Located:
    """Return the source as it is now; of a database that grows, what was not read before."""
    asked = contract.source.kind == "sql" and contract.source.incremental is not None
    return locate(contract, kept(contract, code_digest(__name__)) if asked else None)


def read_all(contract: Contract) -> None:
    """Have the next snapshot of a source that grows be made of all of it."""
    start_over(contract, code_digest(__name__))


def snapshot_now(contract: Contract, source: Located) -> Snapshot:
    """Return the snapshot of a located source as it is now, finished or made."""
    digest, code = source.identity(), code_digest(__name__)

    def work(folder: Path) -> Snapshot:
        snapshot = take_snapshot(contract, source, folder, kept(contract, code))
        if snapshot.source != digest:
            raise OSError(f"{source.name} changed while it was read")
        return snapshot

    snapshot = STAGE.run(contract, digest, work=work)
    recent = source.recent
    seal = (lambda last: recent(cut_of(contract, last))) if recent else None
    remember(contract, code, snapshot.place, seal)
    return snapshot


@stage_task
def ingest(contract: Contract) -> Snapshot:
    """Keep the source's rows as they are now."""
    source = located(contract)
    snapshot = snapshot_now(contract, source)
    types = [f"| {name} | {kind} |" for name, kind in snapshot.columns.items()]
    lines = [
        f"`{source.name}` as it is now: {snapshot.summary}",
        "",
        "| column | type |",
        "| --- | --- |",
    ]
    markdown(contract.dataset, "snapshot", "\n".join([*lines, *types]), snapshot.summary)
    return snapshot
