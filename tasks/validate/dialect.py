"""DuckDB as Great Expectations needs it: one Parquet file, read in place as the table `rows`.

Great Expectations closes a transaction before it reads the result, and DuckDB's cursor then
returns nothing. The database is only read, so this dialect leaves transactions out.
"""

import atexit
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb_engine

from tasks.validate.counts import opened

if TYPE_CHECKING:
    import duckdb


class Connection:
    """A DB API connection that is its own cursor, as DuckDB's are.

    It lets go of DuckDB's when it is closed and names a result's types as text: whatever the
    library keeps of it for ever, DuckDB can end.
    """

    rowcount = -1
    notices: tuple[str, ...] = ()

    def __init__(self, database: "duckdb.DuckDBPyConnection") -> None:
        self._database: Any = database
        self.connection = self

    def cursor(self) -> "Connection":
        """Return the connection itself."""
        return self

    def execute(self, statement: str, parameters: Any = None) -> None:
        """Run SQL."""
        self._database.execute(statement, parameters)

    @property
    def description(self) -> list[tuple[Any, ...]]:
        """The columns of the result."""
        columns = self._database.description or []
        return [(name, str(kind), *rest) for name, kind, *rest in columns]

    def fetchall(self) -> list[Any]:
        """Return the rest of the result."""
        return list(self._database.fetchall())

    def fetchmany(self, size: int = 1) -> list[Any]:
        """Return the next rows of the result."""
        return list(self._database.fetchmany(size))

    def fetchone(self) -> Any:
        """Return the next row of the result, or None."""
        return self._database.fetchone()

    def close(self) -> None:
        """Do nothing: as a cursor it is used again, as a connection see `end`."""

    def end(self) -> None:
        """Close the connection."""
        self._database.close()
        self._database = None


class Preparer(duckdb_engine.DuckDBIdentifierPreparer):
    """Quotes every name: DuckDB has words that SQLAlchemy does not know, such as `at`."""

    def _requires_quotes(self, _value: str) -> bool:
        return True


class Dialect(duckdb_engine.Dialect):
    """Opens a connection that can read one file: `rows` its path, `view` the SQL of the table."""

    supports_statement_cache = False
    preparer = Preparer

    def connect(self, *_args: Any, **options: Any) -> Any:
        """Return a connection that sees the table `rows`, offline."""
        return Connection(opened(Path(options["rows"]), options["view"]))

    def do_close(self, connection: Any) -> None:
        """Close a Connection."""
        connection.end()

    def do_terminate(self, connection: Any) -> None:
        """Close a Connection."""
        connection.end()

    def do_begin(self, *_: Any) -> None:
        """Do nothing: there is nothing to begin."""

    def do_commit(self, *_: Any) -> None:
        """Do nothing: nothing was written."""

    def do_rollback(self, *_: Any) -> None:
        """Do nothing: nothing was written."""


@atexit.register
def _let_go() -> None:
    """Let go of DuckDB's types, or its binding prints a page on leaks as Python ends.

    duckdb-engine hangs functions on SQLAlchemy's classes, which outlive the modules.
    """
    for name in [n for n in sys.modules if n.startswith("duckdb_engine")]:
        sys.modules.pop(name).__dict__.clear()
    gc.collect()
