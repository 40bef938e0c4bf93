"""Where the rows come from, and the query that turns them into one row per forecast."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from data_contracts.annotations import ChosenBy
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
