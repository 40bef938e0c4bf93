"""The suite: what Great Expectations is asked, derived from the contract alone.

In: a contract and the rows' Arrow schema. Out: Checks, as plain data: nothing here imports
Great Expectations.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from data_contracts.constraints import Constraint
from data_contracts.contract import Contract
from data_contracts.expectations import Between, Mean, MissingShare, NotNull, OneOf, RowCount
from tasks.validate.excess import excess_sql
from tasks.validate.schema import WORDS, needs

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Check:
    """One expectation. `words` say it to a reader; `expectation` and `options` to the library."""

    subject: str
    """What it is about: columns, or `rows`."""
    expected: str
    severity: Literal["stop", "quarantine"]
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


def suite(contract: Contract, schema: pa.Schema, rows: int, broken: Collection[str]) -> list[Check]:
    """Return every check of a table with `rows` rows, all of them once.

    Of a `broken` column nothing but its presence is asked, of an empty table nothing but rows.
    """
    checks = [*_presence(contract), _row_count("1 or more", min_value=1)]
    if rows:
        checks += [*_table(contract), *_rows(contract, schema)]
    presence = "ExpectColumnToExist"
    kept = [c for c in checks if c.expectation == presence or not set(c.columns) & set(broken)]
    unique = {(c.expectation, repr(c.options), c.severity): c for c in reversed(kept)}
    return [c for c in kept if unique[c.expectation, repr(c.options), c.severity] is c]


def _presence(contract: Contract) -> Iterator[Check]:
    for column, kinds in needs(contract).items():
        words = f"present, {WORDS[kinds[0]]}"
        yield _stop("ExpectColumnToExist", column, words, {"column": column})


def _table(contract: Contract) -> Iterator[Check]:
    key = list(contract.key)
    name = "ExpectColumnValuesToBeUnique" if len(key) == 1 else "ExpectCompoundColumnsToBeUnique"
    options: dict[str, Any] = {"column": key[0]} if len(key) == 1 else {"column_list": key}
    mend = "add what tells them apart to key, or keep one of them in source.query"
    yield _stop(name, ", ".join(key), "unique", options, mend)
    name, mend = "ExpectColumnValuesToNotBeNull", "leave those rows out in source.query"
    for column in dict.fromkeys([*key, *([contract.time] if contract.time else [])]):
        yield _stop(name, column, "not missing", {"column": column}, mend)
    for column in (*contract.feature_columns, *contract.target_columns):
        yield _missing_share(column, "not all missing", {"min_value": 0.0, "strict_min": True})
    name = "ExpectColumnUniqueValueCountToBeBetween"
    mend = "nothing can be learned from it: take it off the targets, or mend the source"
    for column in contract.target_columns:
        yield _stop(name, column, "not constant", {"column": column, "min_value": 2}, mend)
    yield from _asked_of_table(contract)


def _asked_of_table(contract: Contract) -> Iterator[Check]:
    for check in contract.expectations.table:
        match check:
            case RowCount():
                yield _row_count(_span(check.min, check.max), **_limits(check.min, check.max))
            case MissingShare():
                share = round(1 - check.max, 12)
                words = f"missing in at most {check.max:.6g} of rows"
                yield _missing_share(check.column, words, {"min_value": share})
            case Mean() if (check.min, check.max) != (None, None):
                words = f"mean {_span(check.min, check.max, unit(contract, check.column))}"
                options = {"column": check.column} | _limits(check.min, check.max)
                mend = "look whether the source or its unit has changed"
                yield _stop("ExpectColumnMeanToBeBetween", check.column, words, options, mend)


def _rows(contract: Contract, schema: pa.Schema) -> Iterator[Check]:
    yield from _bounds(contract, schema)
    for check in contract.expectations.rows:
        match check:
            case Between() if (check.min, check.max) != (None, None):
                yield _between(contract, schema, check.column, check.min, check.max)
            case OneOf():
                yield _one_of(check, schema)
            case NotNull():
                yield _present_cell(check.column)
    for constraint in contract.constraints:
        yield _related(constraint)
    yield from _weight(contract)


def _related(constraint: Constraint) -> Check:
    """A column against another is compared as they are; a sum by how far it is off."""
    linear, columns = constraint.linear, constraint.columns
    if linear.plain and constraint.tolerance is None:
        lesser, greater = linear.sides
        options = {"column_A": greater, "column_B": lesser, "or_equal": True}
        options["ignore_row_if"] = "either_value_is_missing"
        name = "ExpectColumnPairValuesAToBeGreaterThanB"
        return Check(lesser, f"<= {greater}", "quarantine", name, options, columns)
    left, relation, right = constraint.sides
    within = "" if constraint.tolerance is None else f" within {constraint.tolerance:g}"
    off = f"excess of {constraint.holds}"
    options = {"column": off, "max_value": 0.0}
    return Check(
        left,
        f"{relation} {right}{within}",
        "quarantine",
        "ExpectColumnValuesToBeBetween",
        options,
        columns,
        derived=(off, excess_sql(linear, constraint.tolerance)),
    )


def _bounds(contract: Contract, schema: pa.Schema) -> Iterator[Check]:
    """Bounds; and that a number without bounds is finite, which one with bounds is by them."""
    measured = {**contract.feature_columns, **contract.target_columns}
    for column, kinds in needs(contract).items():
        limits = getattr(measured.get(column), "bounds", None)
        if limits is not None:
            yield _between(contract, schema, column, *limits)
        elif "number" in kinds and column != contract.row_weight and _is_float(schema, column):
            options = {"column": column, "min_value": -LARGEST, "max_value": LARGEST}
            yield _cell(column, "is finite", options)


def _weight(contract: Contract) -> Iterator[Check]:
    column = contract.row_weight
    if column:
        yield _present_cell(column)
        options = {"column": column, "min_value": 0.0, "max_value": LARGEST}
        yield _cell(column, "0 or more, and finite", options)


def _between(
    contract: Contract, schema: pa.Schema, column: str, least: float | None, most: float | None
) -> Check:
    options = {"column": column} | _limits(*_as_stored(schema, column, least, most))
    return _cell(column, _span(least, most, unit(contract, column)), options)


def _as_stored(
    schema: pa.Schema, column: str, least: float | None, most: float | None
) -> tuple[float | None, float | None]:
    """Widen limits to the next 32-bit number: 0.1 as such is a little more than 0.1."""
    if column not in schema.names or not _is_float(schema, column, 32):
        return least, most
    low = None if least is None else min(least, float(np.float32(least)))
    return low, None if most is None else max(most, float(np.float32(most)))


def _one_of(check: OneOf, schema: pa.Schema) -> Check:
    numbers = all(isinstance(v, int) for v in check.values)
    values = list(check.values) if numbers else [str(v) for v in check.values]
    more = f" and {len(values) - 10} more" if len(values) > 10 else ""
    words = f"one of {', '.join(map(str, values[:10]))}{more}"
    options = {"column": check.column, "value_set": values}
    return _cell(check.column, words, options, "ExpectColumnValuesToBeInSet")


def _present_cell(column: str) -> Check:
    return _cell(column, "not missing", {"column": column}, "ExpectColumnValuesToNotBeNull")


def _cell(
    column: str,
    words: str,
    options: dict[str, Any],
    expectation: str = "ExpectColumnValuesToBeBetween",
) -> Check:
    return Check(column, words, "quarantine", expectation, options, (column,))


def _stop(
    expectation: str, subject: str, words: str, options: dict[str, Any], mend: str = ""
) -> Check:
    columns = tuple(options.get("column_list", [options["column"]] if "column" in options else []))
    return Check(subject, words, "stop", expectation, options, columns, mend)


def _row_count(words: str, **limits: float) -> Check:
    mend = "look whether the source is whole and what source.query leaves out"
    return _stop("ExpectTableRowCountToBeBetween", "rows", words, dict(limits), mend)


def _missing_share(column: str, words: str, options: dict[str, Any]) -> Check:
    name = "ExpectColumnProportionOfNonNullValuesToBeBetween"
    mend = "mend the source or source.query, or take the column out of the contract"
    return _stop(name, column, words, {"column": column} | options, mend)


def _limits(least: float | None, most: float | None) -> dict[str, float]:
    sides = {"min_value": least, "max_value": most}
    return {name: value for name, value in sides.items() if value is not None}


def _span(least: float | None, most: float | None, unit: str = "") -> str:
    low, high = (None if v is None else f"{v:,.12g}" for v in (least, most))
    if low is None or high is None:
        text = f"at most {high}" if low is None else f"{low} or more"
    else:
        text = f"between {low} and {high}"
    return f"{text} {unit}".rstrip()


def _is_float(schema: pa.Schema, column: str, most_bits: int = 64) -> bool:
    if column not in schema.names:
        return False
    found = schema.field(column).type
    return bool(pa.types.is_floating(found) and found.bit_width <= most_bits)


def unit(contract: Contract, column: str) -> str:
    """Return the unit that the contract gives a column, or an empty string."""
    measured = contract.target_columns.get(column) or contract.feature_columns.get(column)
    return str(getattr(measured, "unit", ""))
