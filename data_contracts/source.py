"""Where the rows come from, and the query that turns them into one row per forecast."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.duration import Duration
from data_contracts.section import Items, Section, refused


def moment(value: Any) -> datetime:
    """Return a date's start, a moment, or the one that ISO 8601 text names, in UTC.

    What names no zone means UTC. Raises the error of a refused value on anything else.
    """
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    expected = "a day such as 2013-06-01, or a moment such as 2013-06-01T12:00:00Z"
    raise refused(expected, value, "look whether the month has that day")


def iso(when: datetime) -> str:
    """Return a moment in ISO 8601, in UTC, and one at midnight as its day: `2013-06-01`."""
    text = when.astimezone(UTC).replace(tzinfo=None).isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


_DAY_OR_MOMENT = [{"type": "string", "format": f} for f in ("date", "date-time")]
Moment = Annotated[
    datetime, BeforeValidator(moment), WithJsonSchema({"anyOf": _DAY_OR_MOMENT, "title": "Moment"})
]


class _Source(Section):
    query: str | None = None
    """SQL that DuckDB runs over the table `source`. One result row is one raw row. All
    rows of the source, as they are, when absent."""
    engine: Literal["duckdb"] = "duckdb"
    """What runs the query."""
    as_of: Moment | None = None
    """Retrain as if on this day, as a run in its first minute would (UTC; a moment may be given
    instead): rows from then on are not seen, nor are rows without a time. Where the source has
    the contract's `time` column, it is cut before the query runs, so that leads past the day
    are missing. Where it has none, or holds a target ready-made, nothing says when a target
    became known: then rows within `split.gap` before the day are left out too. The model is
    compared with models as old as that, is kept as a version of its own, and never becomes
    champion. Now, when absent."""
    window: Duration | None = None
    """Only the query's rows of this long before the newest one, by the contract's `time`; all of
    them when absent."""
    incremental: Duration | None = None
    """For a source that only grows: how far back or ahead a row of the query looks. Rows more than
    this before the newest of the last snapshot are taken from that snapshot, and the source is
    read from twice as far back on. The snapshot is the one that reading all would give, as long as
    nothing older changes in the source; `polycast retrain --from ingest` reads all of it. Of a
    database it is the statement's own time column that decides. All of the source is read each
    time when absent."""


_SECRETS = re.compile(r"://[^/\s]*@|(?i:password|passwd|secret|token)\w*\s*=")


def _no_secret(text: str) -> str:
    """Return text as it is. Raises the error of a refused value where it holds a password,
    without saying it."""
    if _SECRETS.search(text):
        hint = "name an environment variable or a Prefect block: connection: {env: PLANT_DSN}"
        if text.startswith(("s3:", "s3a:")):
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment instead"
        raise refused("text without user or password", "an address with credentials", hint)
    return text


Address = Annotated[str, Field(min_length=1), AfterValidator(_no_secret)]


def _option(value: Any) -> Any:
    """Return a value that a callable may be given. Raises the error of a refused value."""
    if not isinstance(value, bool | int | float | str):
        raise refused("text, a number, true or false", value)
    return _no_secret(value) if isinstance(value, str) else value


_KINDS = {"type": ["boolean", "number", "string"], "title": "Option"}
Option = Annotated[Any, AfterValidator(_option), WithJsonSchema(_KINDS)]


class _Files(_Source):
    path: Address
    """A file, a folder, or a pattern such as `rows/*.parquet`; a relative path starts at the
    contract's folder. Or an address such as `s3://bucket/rows`, whose credentials come from the
    environment. The folders `year=2024` on the way to a file are columns."""


class ParquetSource(_Files):
    """Parquet files of the same columns; a column that one lacks is missing in its rows."""

    kind: Literal["parquet"]


class CsvSource(_Files):
    """CSV files with a header line, in UTF-8."""

    kind: Literal["csv"]
    missing: Items[str] = ("", "NA")
    """The texts that stand for a missing value."""


class FeatherSource(_Files):
    """Feather files: Arrow's own format on disk."""

    kind: Literal["feather"]


class _Gridded(_Files):
    levels: Items[str] = ()
    """Dimensions that become vector groups: with `[lev]`, `T` over `lev` is T_0, T_1 and so on.
    All other dimensions become rows, one for each of their combinations, in order."""
    variables: Items[str] = ()
    """What to read; when absent, every variable that has a dimension of the rows."""


class NetcdfSource(_Gridded):
    """NetCDF files, read one after another by xarray (the extra `xarray`)."""

    kind: Literal["netcdf"]


class ZarrSource(_Gridded):
    """One Zarr store, read block by block by xarray (the extra `xarray`)."""

    kind: Literal["zarr"]


class Connection(Section):
    """Where the words that open a database are kept: never in a contract."""

    env: str | None = Field(default=None, min_length=1)
    """The name of an environment variable that holds them."""
    block: str | None = Field(default=None, min_length=1)
    """The name of a Prefect Secret block that holds them."""

    @model_validator(mode="after")
    def _one(self) -> "Connection":
        if (self.env is None) == (self.block is None):
            raise refused("either env or block", "both" if self.env else "neither")
        return self


class SqlSource(_Source):
    """What a database answers to a statement (the extra `sql`, but for DuckDB)."""

    kind: Literal["sql"]
    database: Literal["duckdb", "sqlite", "postgresql"]
    """What runs the statement."""
    statement: Annotated[str, Field(min_length=1), AfterValidator(_no_secret)]
    """One SELECT in the database's own SQL; its rows are the table `source` of `query`."""
    path: Address | None = None
    """The file of DuckDB or SQLite; a relative path starts at the contract's folder."""
    connection: Connection | None = None
    """Where PostgreSQL's address is kept, with user and password."""

    @model_validator(mode="after")
    def _reached(self) -> "SqlSource":
        if self.database == "postgresql" and (self.connection is None or self.path):
            raise refused("connection, and no path, for postgresql", "none" if self.connection
                          is None else "a path", "write connection: {env: PLANT_DSN}")  # fmt: skip
        if self.database != "postgresql" and (self.path is None or self.connection):
            raise refused(f"path, and no connection, for {self.database}", "another")
        return self


class PythonSource(_Source):
    """A Python callable, registered under the entry-point group `polycast.sources`. It returns
    the path of a Parquet or CSV file, or rows that it makes."""

    kind: Literal["python"]
    name: str = Field(min_length=1)
    """The entry point's name."""
    options: dict[str, Option] = Field(default_factory=dict)
    """What the callable is called with, by name."""


Source = Annotated[
    ParquetSource
    | CsvSource
    | FeatherSource
    | NetcdfSource
    | ZarrSource
    | SqlSource
    | PythonSource,
    ChosenBy("kind"),
]
