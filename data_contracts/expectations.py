"""What must hold of the rows and of the table before anything is learned from them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.section import Column, Items, Section, Share, refused


class _Range(Section):
    """[min, max], of which one may be absent."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise refused("min, max or both", None)
        return self


class Between(_Range):
    """Row: the column's value lies in [min, max] (either may be absent)."""

    check: Literal["between"]
    column: Column


class OneOf(Section):
    """Row: the column's value is one of the listed."""

    check: Literal["one_of"]
    column: Column
    values: Items[str | int] = Field(min_length=1)


class NotNull(Section):
    """Row: the column has a value."""

    check: Literal["not_null"]
    column: Column


class RowCount(_Range):
    """Table: the number of rows lies in [min, max]."""

    check: Literal["row_count"]
    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


class MissingShare(Section):
    """Table: at most this share of the column's cells is missing."""

    check: Literal["missing_share"]
    column: Column
    max: Share


class Mean(_Range):
    """Table: the column's mean lies in [min, max]."""

    check: Literal["mean"]
    column: Column


RowExpectation = Annotated[Between | OneOf | NotNull, ChosenBy("check")]
TableExpectation = Annotated[RowCount | MissingShare | Mean, ChosenBy("check")]


class Expectations(Section):
    """Checks beyond those that the columns imply (presence, type, bounds, a unique key)."""

    tolerance: Share = 0.01
    """The largest share of rows that may be quarantined; more stops the run."""
    rows: Items[RowExpectation] = ()
    """Checks of single rows. A row that fails goes to quarantine with the reason."""
    table: Items[TableExpectation] = ()
    """Checks of the whole table. One that fails stops the run."""
    engine: Literal["duckdb"] = "duckdb"
    """What evaluates the expectations."""
