"""DuckDB as the engine of one machine: opened offline, in UTC, and shut to other files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(files: Iterable[Path]) -> "duckdb.DuckDBPyConnection":
    """Return a DuckDB connection that can read `files` and nothing else.

    Extensions are never downloaded; times are in UTC.
    """
    import duckdb

    database = duckdb.connect(config={"autoinstall_known_extensions": False})
    database.execute("SET TimeZone = 'UTC'")
    paths = ", ".join(literal(str(file)) for file in files)
    database.execute(f"SET allowed_paths = [{paths}]")
    database.execute("SET enable_external_access = false")
    return database


def literal(text: str) -> str:
    """Return text as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted(column: str) -> str:
    """Return a column's name as a SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def columns(names: Sequence[str]) -> str:
    """Return a SQL list of columns."""
    return ", ".join(quoted(name) for name in names)
