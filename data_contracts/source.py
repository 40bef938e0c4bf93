"""Where the rows come from, and the query that turns them into one row per forecast."""

from typing import Annotated, Literal

from pydantic import Field

from data_contracts.annotations import ChosenBy
from data_contracts.section import Items, Section


class _Source(Section):
    query: str | None = None
    """SQL that DuckDB runs over the table `source`. One result row is one raw row. All
    rows of the source, as they are, when absent."""
    engine: Literal["duckdb"] = "duckdb"
    """What runs the query."""


class ParquetSource(_Source):
    """One Parquet file."""

    kind: Literal["parquet"]
    path: str = Field(min_length=1)
    """The file; a relative path starts at the contract's folder."""


class CsvSource(_Source):
    """One CSV file with a header line."""

    kind: Literal["csv"]
    path: str = Field(min_length=1)
    """The file; a relative path starts at the contract's folder."""
    missing: Items[str] = ("", "NA")
    """The texts that stand for a missing value."""


class PythonSource(_Source):
    """A Python callable, registered under the entry-point group `polycast.sources`, that
    returns the path of a Parquet or CSV file."""

    kind: Literal["python"]
    name: str = Field(min_length=1)
    """The entry point's name."""


Source = Annotated[ParquetSource | CsvSource | PythonSource, ChosenBy("kind")]
