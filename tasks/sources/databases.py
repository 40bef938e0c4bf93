"""What a database answers to a statement: DuckDB's file, or SQLite and PostgreSQL through ADBC.

Rows come as Arrow batches, and nothing is ever written: each is opened to be read alone. Of a
source that grows, or of a window, the database is asked for the rows that are needed.
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.source import SqlSource
from tasks.addresses import clean
from tasks.database import SETTINGS, connect, first_line, literal, settle
from tasks.errors import DataError
from tasks.sources.cut import Ask, Bound, Cut
from tasks.sources.files import Files, find_files
from tasks.sources.located import STAGED, Located, write_batches
from tasks.sources.secrets import address_of, kept_in
from tasks.storage import digest

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536


class _Copy:
    """A temporary folder that goes when nothing holds it any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="polycast-source-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


def from_database(source: SqlSource, dataset: str, cut: Cut | None = None) -> Located:
    """Return a statement's rows as a source, or those that `cut` asks for. Raises DataError."""
    found = _copied(source, cut) if source.database == "postgresql" else _file(source, dataset, cut)
    return replace(found, whole=lambda: from_database(source, dataset)) if cut else found


def _file(source: SqlSource, dataset: str, cut: Cut | None) -> Located:
    files = find_files(source.path or "", dataset, "parquet")
    if files.fs is not None or len(files.paths) != 1:
        raise DataError(
            f"expected one file of {source.database} on this machine, came {files.name}"
        )
    return Located(
        files.name, lambda: _identity(files), batches=lambda: _batches(source, files, cut)
    )


def _identity(files: Files) -> str:
    """Return a hash of a database's file and of what is not yet written into it."""
    path = files.paths[0]
    logs = [p for p in (f"{path}-wal", f"{path}.wal") if Path(p).is_file()]
    return digest([Files(p, (p,)).identity() for p in (path, *logs)])


def _copied(source: SqlSource, cut: Cut | None) -> Located:
    """Copy a server's rows: only they say whether it has others than before."""
    copy = _Copy()
    file = copy.folder / STAGED
    write_batches(_batches(source, None, cut), file)
    seal, last = _seal(file), cut.last if cut else None
    if last is not None:
        seal = last.identity if seal == last.recent else digest([last.identity, seal])
    return Located(
        "PostgreSQL",
        lambda: seal,
        (str(file),),
        f"read_parquet({literal(str(file))})",
        recent=partial(_seal, file),
        kept=copy,
    )


def _seal(file: Path, cut: Cut | None = None) -> str:
    """Return a hash of rows that does not mind the order in which a server gives them."""
    import pyarrow.parquet as pq

    reader = f"read_parquet({literal(str(file))})"
    with connect([file]) as database:
        schema, asked = pq.read_schema(file), f"{reader} AS answer"
        more, values = cut.typed(asked, schema, lambda _: None) if cut else ("", [])
        hashes = "SELECT count(*), sum(hash(answer)::HUGEINT), bit_xor(hash(answer))"
        seen = str(database.execute(f"{hashes} FROM {asked}{more}", values).fetchone())
        names = str(database.execute(f"DESCRIBE FROM {reader}").fetchall())
    return digest([names, seen])


def _batches(source: SqlSource, files: Files | None, cut: Cut | None) -> "pa.RecordBatchReader":
    import pyarrow as pa

    stream = _guarded(source, files, cut)
    schema = next(stream)
    assert isinstance(schema, pa.Schema)
    return pa.RecordBatchReader.from_batches(schema, stream)


def _guarded(source: SqlSource, files: Files | None, cut: Cut | None) -> Iterator[Any]:
    """Yield the schema, then the batches; whatever the database says, without its secrets."""
    import pyarrow as pa

    try:
        with _answer(source, files, cut) as reader:
            fields = [_plain_field(field) for field in reader.schema]
            yield (schema := pa.schema(fields))
            for batch in reader:
                columns = [_plain(column) for column in batch.columns]
                yield pa.record_batch(columns, schema=schema)
    except DataError:
        raise
    except ModuleNotFoundError as error:
        raise DataError(
            f"the package {error.name} is not installed: pip install 'polycast[sql]'"
        ) from None
    except Exception as error:
        where = files.name if files else "PostgreSQL"
        kept = f". Its address is in {kept_in(source.connection)}" if source.connection else ""
        raise DataError(
            f"{where} does not answer source.statement: {clean(first_line(error))}{kept}"
        ) from None


@contextmanager
def _answer(
    source: SqlSource, files: Files | None, cut: Cut | None
) -> "Iterator[pa.RecordBatchReader]":
    """Yield the reader of a statement's rows, from a database that can be read alone."""
    path = files.paths[0] if files else ""
    if source.database == "duckdb":
        import duckdb

        with duckdb.connect(path, read_only=True, config={**SETTINGS}) as database:
            settle(database)
            database.execute("SET enable_external_access = false")
            query, values = _asked(
                source,
                cut,
                lambda q: database.sql(q).to_arrow_table().schema,
                lambda q: database.sql(q).fetchall()[0][0],
            )
            yield database.sql(query, params=values).to_arrow_reader(BATCH_ROWS)
        return
    with closing(_connected(source, path)) as connection, connection.cursor() as cursor:
        if source.database == "postgresql":
            cursor.execute("SET TRANSACTION READ ONLY")
        query, values = _asked(source, cut, partial(_schema, cursor), partial(_value, cursor))
        cursor.execute(query, values or None)
        with cursor.fetch_record_batch() as reader:
            yield reader


def _connected(source: SqlSource, path: str) -> Any:
    if source.connection is not None:
        from adbc_driver_postgresql import dbapi

        return dbapi.connect(address_of(source.connection))
    from adbc_driver_sqlite import dbapi as sqlite

    return sqlite.connect(f"{Path(path).resolve().as_uri()}?mode=ro")


def _asked(
    source: SqlSource, cut: Cut | None, schema: "Callable[[str], pa.Schema]", ask: Ask
) -> Bound:
    """Return the statement in brackets, so that it can only be one SELECT, and its values."""
    rows = f"(\n{source.statement.rstrip().removesuffix(';')}\n) AS answer"
    every = f"SELECT * FROM {rows}"
    if cut is None:
        return every, []
    found = schema(f"{every} LIMIT 0")
    sqlite = source.database == "sqlite"
    more, values = cut.sqlite(rows, found.names, ask) if sqlite else cut.typed(rows, found, ask)
    return f"{every}{more}", values


def _schema(cursor: Any, query: str) -> "pa.Schema":
    cursor.execute(query)
    with cursor.fetch_record_batch() as reader:
        return reader.schema


def _value(cursor: Any, query: str) -> Any:
    cursor.execute(query)
    return cursor.fetchone()[0]


def _plain_field(field: "pa.Field") -> "pa.Field":
    kind = getattr(field.type, "storage_type", field.type)
    return field.with_type(kind).remove_metadata()


def _plain(column: "pa.Array") -> "pa.Array":
    """Return a column of a type of the database's own as what it is kept as."""
    return getattr(column, "storage", column)
