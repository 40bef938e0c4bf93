"""A check: one expectation as plain data, and the common kinds of it.

Nothing here imports Great Expectations.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract
from tasks.spans import as_stored, span, unit

Severity = Literal["stop", "quarantine", "warn"]
LONGEST = 55
"""The most characters of a derived column's name."""
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Check:
    """One expectation. `words` say it to a reader; `expectation` and `options` to the library."""

    subject: str
    """What it is about: columns, or `rows`."""
    expected: str
    severity: Severity
    expectation: str
    """The class in great_expectations.expectations."""
    options: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    mend: str = ""
    """What to do about a breach, where that is not obvious."""
    derived: tuple[str, str] | None = None
    """A column that the options name and the rows lack, with its SQL over them."""

    @property
    def words(self) -> str:
        """The expectation in words: `wind_speed between 0 and 200 mph`."""
        return f"{self.subject} {self.expected}"


def derived_name(kind: str, text: str) -> str:
    """Return the name of a column that a check derives: SQLAlchemy cuts one of more than 63
    characters, and then does not find it."""
    name = f"{kind} of {text}"
    if len(name) <= LONGEST and "\n" not in text:
        return name
    return f"{' '.join(name.split())[: LONGEST - 9]} {sha256(text.encode()).hexdigest()[:8]}"


def cell(
    column: str,
    words: str,
    options: dict[str, Any],
    expectation: str = "ExpectColumnValuesToBeBetween",
) -> Check:
    """Return a check of a column's single values, whose bad rows go to quarantine."""
    return Check(column, words, "quarantine", expectation, options, (column,))


def stop(
    expectation: str, subject: str, words: str, options: dict[str, Any], mend: str = ""
) -> Check:
    """Return a check of the whole table, which stops the run."""
    columns = tuple(options.get("column_list", [options["column"]] if "column" in options else []))
    return Check(subject, words, "stop", expectation, options, columns, mend)


def row_count(words: str, **limits: float) -> Check:
    """Return a check of how many rows there are."""
    mend = "look whether the source is whole and what source.query leaves out"
    return stop("ExpectTableRowCountToBeBetween", "rows", words, dict(limits), mend)


def missing_share(column: str, words: str, options: dict[str, Any]) -> Check:
    """Return a check of what share of a column's cells has a value."""
    name = "ExpectColumnProportionOfNonNullValuesToBeBetween"
    mend = "mend the source or source.query, or take the column out of the contract"
    return stop(name, column, words, {"column": column} | options, mend)


def between(
    contract: Contract, schema: pa.Schema, column: str, least: float | None, most: float | None
) -> Check:
    """Return a check that a column's values lie within limits, in its unit."""
    options = {"column": column} | limits(*as_stored(schema, column, least, most))
    return cell(column, span(least, most, unit(contract, column)), options)


def present_cell(column: str) -> Check:
    """Return a check that a column has a value in every row."""
    return cell(column, "not missing", {"column": column}, "ExpectColumnValuesToNotBeNull")


def limits(least: float | None, most: float | None) -> dict[str, float]:
    """Return the library's options for limits, of which either may be absent."""
    sides = {"min_value": least, "max_value": most}
    return {name: value for name, value in sides.items() if value is not None}
