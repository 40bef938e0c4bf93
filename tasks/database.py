"""DuckDB as the engine of one machine: opened offline, in UTC, and shut to other files."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.source import iso, moment

if TYPE_CHECKING:
    import duckdb


SETTINGS = {"autoinstall_known_extensions": False, "python_enable_replacements": False}
"""How DuckDB is opened anywhere: it downloads nothing, and variables of Python are no tables."""


def connect(files: Iterable[Path | str], fs: Any = None) -> "duckdb.DuckDBPyConnection":
    """Return a DuckDB connection that can read `files` and nothing else.

    `fs` is the fsspec file system of files at addresses. Times are in UTC.
    """
    import duckdb

    database = duckdb.connect(config={**SETTINGS})
    if fs is not None:
        database.register_filesystem(fs)
    settle(database)
    paths = ", ".join(literal(str(file)) for file in files)
    database.execute(f"SET allowed_paths = [{paths}]")
    database.execute("SET enable_external_access = false")
    return database


def settle(database: "duckdb.DuckDBPyConnection") -> None:
    """Let an open database tell times in UTC, and draw nothing."""
    database.execute("SET TimeZone = 'UTC'")
    # In a process without a script of its own, DuckDB draws bars into what is said.
    database.execute("SET enable_progress_bar = false")


def literal(text: str) -> str:
    """Return text as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted(column: str) -> str:
    """Return a column's name as a SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def columns(names: Sequence[str]) -> str:
    """Return a SQL list of columns."""
    return ", ".join(quoted(name) for name in names)


def last_time(rows: Path, column: str) -> str | None:
    """Return the latest time in a column of a Parquet file, in ISO 8601, in UTC; None for none."""
    return _time(rows, column, "max")


def first_time(rows: Path, column: str) -> str | None:
    """Return the earliest time in a column of a Parquet file, as `last_time` does the latest."""
    return _time(rows, column, "min")


def _time(rows: Path, column: str, which: str) -> str | None:
    query = f"SELECT make_timestamp({which}(epoch_us({quoted(column)}))) FROM "
    with connect([rows]) as database:
        (found,) = database.execute(query + f"read_parquet({literal(str(rows))})").fetchall()
    return None if found[0] is None else iso(moment(found[0]))


def first_line(error: Exception) -> str:
    """Return what DuckDB says of a statement in a line, without the statement, and without the
    options of a CSV file that a contract does not have."""
    told = re.split(r"\n\nLINE|\s*Possible (?:[Ss]olution|fix)", str(error))[0]
    return re.sub(r"\s+", " ", told).strip()[:500]
