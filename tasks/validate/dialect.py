"""DuckDB as Great Expectations needs it: one Parquet file, read in place as the table `rows`.

Great Expectations closes a transaction before it reads the result, and DuckDB's cursor then
returns nothing. The database is only read, so this dialect leaves transactions out.
"""

import atexit
import gc
import sys
from pathlib import Path
from typing import Any

import duckdb_engine

from tasks.database import connect

TABLE = "rows"


class Dialect(duckdb_engine.Dialect):  # type: ignore[misc]
    """Opens a connection that can read one file: `rows` its path, `view` the SQL of the table."""

    supports_statement_cache = False

    def connect(self, *_args: Any, **options: Any) -> Any:
        """Return a connection that sees the table `rows`, offline."""
        database = connect([Path(options["rows"])])
        database.execute(f"CREATE VIEW {TABLE} AS {options['view']}")
        return duckdb_engine.ConnectionWrapper(database)

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
