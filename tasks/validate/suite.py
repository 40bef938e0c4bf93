"""The suite: what Great Expectations is asked, derived from the contract alone.

In: a contract and the rows' Arrow schema. Out: Checks, as plain data: nothing here imports
Great Expectations.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

import pyarrow as pa

from data_contracts.columns import expand
from data_contracts.constraints import Constraint
from data_contracts.contract import Contract
from tasks.database import quoted
from tasks.spans import is_float
from tasks.validate.asked import of_rows, of_table, unique
from tasks.validate.check import (
    LARGEST,
    Check,
    Severity,
    between,
    cell,
    derived_name,
    missing_share,
    present_cell,
    row_count,
    stop,
)
from tasks.validate.excess import excess_sql
from tasks.validate.schema import WORDS, needs


def suite(
    contract: Contract,
    schema: pa.Schema,
    rows: int,
    broken: Collection[str],
    last: int | None = None,
) -> list[Check]:
    """Return every check of a table with `rows` rows, all of them once.

    `last` is how many rows the last snapshot had that kept the contract, None where there is none.

    Of a `broken` column nothing but its presence is asked, of an empty table nothing but rows.
    """
    checks = [*_presence(contract), row_count("1 or more", min_value=1)]
    if rows:
        checks += [*_table(contract), *of_table(contract, last), *_rows(contract, schema)]
    presence = "ExpectColumnToExist"
    kept = [c for c in checks if c.expectation == presence or not set(c.columns) & set(broken)]
    first = {(c.expectation, repr(c.options), c.severity): c for c in reversed(kept)}
    return [c for c in kept if first[c.expectation, repr(c.options), c.severity] is c]


def _presence(contract: Contract) -> Iterator[Check]:
    for column, kinds in needs(contract).items():
        words = f"present, {WORDS[kinds[0]]}"
        yield stop("ExpectColumnToExist", column, words, {"column": column})


def _table(contract: Contract) -> Iterator[Check]:
    key = contract.key
    yield unique(key, "add what tells them apart to key, or keep one of them in source.query")
    name, mend = "ExpectColumnValuesToNotBeNull", "leave those rows out in source.query"
    for column in dict.fromkeys([*key, *([contract.time] if contract.time else [])]):
        yield stop(name, column, "not missing", {"column": column}, mend)
    for column in (*contract.feature_columns, *contract.target_columns):
        yield missing_share(column, "not all missing", {"min_value": 0.0, "strict_min": True})
    for name in contract.targets:
        levels = expand(name)
        # Of a vector some levels may stand still, as moisture does high up in the air.
        severity: Severity = "stop" if len(levels) == 1 else "warn"
        for column in levels:
            yield replace(_varies(column), severity=severity)


def _varies(column: str) -> Check:
    """To count its values would cost more than all else: one that differs will do."""
    own, off = quoted(column), derived_name("change", column)
    first = f"(SELECT {own} FROM {{rows}} WHERE {own} IS NOT NULL LIMIT 1)"
    mend = "nothing can be learned from it: take it off the targets, or mend the source"
    options = {"column": off, "min_value": 1}
    made = stop("ExpectColumnMaxToBeBetween", column, "not constant", options, mend)
    sql = f"CAST({own} <> {first} AS TINYINT)"
    return replace(made, columns=(column,), derived=(off, sql))


def _rows(contract: Contract, schema: pa.Schema) -> Iterator[Check]:
    yield from _bounds(contract, schema)
    yield from of_rows(contract, schema)
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
    off = derived_name("excess", constraint.holds)
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
            yield between(contract, schema, column, *limits)
        elif "number" in kinds and column != contract.row_weight and is_float(schema, column):
            options = {"column": column, "min_value": -LARGEST, "max_value": LARGEST}
            yield cell(column, "is finite", options)


def _weight(contract: Contract) -> Iterator[Check]:
    column = contract.row_weight
    if column:
        yield present_cell(column)
        options = {"column": column, "min_value": 0.0, "max_value": LARGEST}
        yield cell(column, "0 or more, and finite", options)
