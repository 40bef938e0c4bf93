"""What must hold of the rows and of the table before anything is learned from them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.section import Column, Items, Section, Share, refused
from data_contracts.split import Duration


class _Range(Section):
    """[min, max], of which one may be absent."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise refused("min, max or both", None)
        return self


class _OfRows(Section):
    severity: Literal["quarantine", "stop", "warn"] = "quarantine"
    """What a broken row does. quarantine: it is set aside with the reason. stop: it stops the run.
    warn: it goes on, and the run says so."""


class _OfTable(Section):
    severity: Literal["stop", "warn"] = "stop"
    """What happens when it is broken. stop: the run stops. warn: it goes on, and says so."""


class Between(_OfRows, _Range):
    """Row: the column's value lies in [min, max] (either may be absent)."""

    check: Literal["between"]
    column: Column


class OneOf(_OfRows):
    """Row: the column's value is one of the listed."""

    check: Literal["one_of"]
    column: Column
    values: Items[str | int] = Field(min_length=1)


class NotNull(_OfRows):
    """Row: the column has a value."""

    check: Literal["not_null"]
    column: Column


class RowSql(_OfRows):
    """Row: a SQL condition holds, such as `gust >= speed OR gust IS NULL`. Where it is neither true
    nor false, it says nothing."""

    check: Literal["sql"]
    holds: str = Field(min_length=1)
    """A condition over the row's columns, in DuckDB's SQL."""


class RowCount(_OfTable, _Range):
    """Table: the number of rows lies in [min, max]."""

    check: Literal["row_count"]
    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


class MissingShare(_OfTable):
    """Table: at most this share of the column's cells is missing."""

    check: Literal["missing_share"]
    column: Column
    max: Share


class Mean(_OfTable, _Range):
    """Table: the column's mean lies in [min, max]."""

    check: Literal["mean"]
    column: Column


class Deviation(_OfTable, _Range):
    """Table: the column's standard deviation lies in [min, max]."""

    check: Literal["deviation"]
    column: Column


class Unique(_OfTable):
    """Table: no two rows share the values of these columns."""

    check: Literal["unique"]
    columns: Items[Column] = Field(min_length=1)


class Increasing(_OfTable):
    """Table: the column grows from row to row, in order of the contract's `time`."""

    check: Literal["increasing"]
    column: Column
    by: Items[Column] = ()
    """The columns within whose values it grows, such as a station."""


class Fresh(_OfTable):
    """Table: the newest row is no older than this when the run looks. It needs `time`."""

    check: Literal["fresh"]
    within: Duration


class Volume(_OfTable):
    """Table: the number of rows against that of the last snapshot that kept the contract."""

    check: Literal["volume"]
    at_least: float = Field(default=0.9, ge=0)
    """The least number of rows as a share of the last snapshot's."""
    at_most: float | None = Field(default=None, ge=0)
    """The greatest number of rows as a share of the last snapshot's."""


class TableSql(_OfTable):
    """Table: a SQL condition over all rows holds, such as `count(DISTINCT station) >= 3`."""

    check: Literal["sql"]
    holds: str = Field(min_length=1)
    """A condition over aggregates of the columns, in DuckDB's SQL."""


RowExpectation = Annotated[Between | OneOf | NotNull | RowSql, ChosenBy("check")]
TableExpectation = Annotated[
    RowCount | MissingShare | Mean | Deviation | Unique | Increasing | Fresh | Volume | TableSql,
    ChosenBy("check"),
]


def columns_of(check: RowExpectation | TableExpectation) -> tuple[Column, ...]:
    """Return the columns that a check names; those in SQL are not looked for."""
    match check:
        case Unique():
            return check.columns
        case Increasing():
            return (check.column, *check.by)
        case Between() | OneOf() | NotNull() | MissingShare() | Mean() | Deviation():
            return (check.column,)
        case _:
            return ()


class Expectations(Section):
    """Checks beyond those that the columns imply (presence, type, bounds, a unique key)."""

    tolerance: Share = 0.01
    """The largest share of rows that may be quarantined; more stops the run."""
    rows: Items[RowExpectation] = ()
    """Checks of single rows. A row that fails goes to quarantine with the reason, unless the check
    has another severity."""
    table: Items[TableExpectation] = ()
    """Checks of the whole table. One that fails stops the run, unless it only warns."""
    engine: Literal["duckdb"] = "duckdb"
    """What evaluates the expectations."""
