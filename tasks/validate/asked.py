"""The checks that a contract asks for beyond those that its columns imply.

In: a contract and the rows' Arrow schema. Out: Checks. Conditions in SQL, and steps from row to
row, are columns that the checks derive, so that Great Expectations judges them like any other.
"""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from data_contracts.contract import Contract
from data_contracts.expectations import (
    Between,
    Deviation,
    Increasing,
    Mean,
    MissingShare,
    NotNull,
    OneOf,
    RowCount,
    RowExpectation,
    RowSql,
    TableExpectation,
    TableSql,
    Unique,
    Volume,
)
from tasks.database import columns, quoted
from tasks.learning.listing import some
from tasks.spans import span, unit
from tasks.validate.check import (
    Check,
    between,
    cell,
    derived_name,
    limits,
    missing_share,
    present_cell,
    row_count,
    stop,
)

CHANGED = "look whether the source or its unit has changed"


def of_rows(contract: Contract, schema: pa.Schema) -> Iterator[Check]:
    """Yield the checks of single rows that the contract asks for."""
    for check in contract.expectations.rows:
        yield replace(_of_row(contract, schema, check), severity=check.severity)


def of_table(contract: Contract, last: int | None) -> Iterator[Check]:
    """Yield the checks of the whole table that the contract asks for.

    `last` is how many rows the last snapshot had that kept the contract, None where there is none.
    How old the newest row is, is no check of the rows: the clock goes on while they stay.
    """
    for check in contract.expectations.table:
        for made in _of_table(contract, check, last):
            yield replace(made, severity=check.severity)


def _of_row(contract: Contract, schema: pa.Schema, check: RowExpectation) -> Check:
    match check:
        case Between():
            return between(contract, schema, check.column, check.min, check.max)
        case OneOf():
            return _one_of(check)
        case NotNull():
            return present_cell(check.column)
        case RowSql():
            off = derived_name("breach", check.holds)
            options = {"column": off, "max_value": 0}
            made = cell(check.holds, "holds", options)
            return replace(made, columns=(), derived=(off, condition(check.holds)))


def _one_of(check: OneOf) -> Check:
    numbers = all(isinstance(v, int) for v in check.values)
    values = list(check.values) if numbers else [str(v) for v in check.values]
    options = {"column": check.column, "value_set": values}
    words = f"one of {some(values)}"
    return cell(check.column, words, options, "ExpectColumnValuesToBeInSet")


def _of_table(contract: Contract, check: TableExpectation, last: int | None) -> Iterator[Check]:
    match check:
        case RowCount():
            yield row_count(span(check.min, check.max), **limits(check.min, check.max))
        case MissingShare():
            words = f"missing in at most {check.max:.6g} of rows"
            yield missing_share(check.column, words, {"min_value": round(1 - check.max, 12)})
        case Mean():
            yield _moment(contract, check, "mean", "ExpectColumnMeanToBeBetween")
        case Deviation():
            yield _moment(contract, check, "deviation", "ExpectColumnStdevToBeBetween")
        case Unique():
            yield unique(check.columns, "keep one of them in source.query")
        case Increasing():
            yield _increasing(contract, check)
        case Volume() if last is not None:
            least = check.at_least * last
            most = None if check.at_most is None else check.at_most * last
            words = f"{span(least, most)}, the last snapshot having {last:,}"
            yield row_count(words, **limits(least, most))
        case TableSql():
            off = derived_name("breach", check.holds)
            options = {"column": off, "max_value": 0}
            made = stop("ExpectColumnMaxToBeBetween", check.holds, "holds", options, CHANGED)
            yield replace(
                made, columns=(), derived=(off, f"(SELECT {condition(check.holds)} FROM {{rows}})")
            )


def _moment(contract: Contract, check: Mean | Deviation, word: str, name: str) -> Check:
    words = f"{word} {span(check.min, check.max, unit(contract, check.column))}"
    options = {"column": check.column} | limits(check.min, check.max)
    return stop(name, check.column, words, options, CHANGED)


def unique(names: tuple[str, ...], mend: str) -> Check:
    """Return the check that no two rows share the values of these columns."""
    if len(names) == 1:
        options = {"column": names[0]}
        return stop("ExpectColumnValuesToBeUnique", names[0], "unique", options, mend)
    several = {"column_list": list(names)}
    return stop("ExpectCompoundColumnsToBeUnique", ", ".join(names), "unique", several, mend)


def _increasing(contract: Contract, check: Increasing) -> Check:
    within = f"PARTITION BY {columns(check.by)} " if check.by else ""
    own, step = quoted(check.column), derived_name("step", check.column)
    order = f"{within}ORDER BY {quoted(contract.time or '')}, _row"
    sql = f"CASE WHEN {own} > lag({own}) OVER ({order}) THEN 0 "
    sql += f"WHEN {own} <= lag({own}) OVER ({order}) THEN 1 END"
    words = "increasing in time" + (f" within {', '.join(check.by)}" if check.by else "")
    options = {"column": step, "max_value": 0}
    made = cell(check.column, words, options)
    return replace(made, columns=(check.column, *check.by), derived=(step, sql))


def condition(holds: str) -> str:
    """Return SQL that is 1 where a condition does not hold, 0 where it does, and else NULL."""
    return f"CASE WHEN ({holds}\n) THEN 0 WHEN NOT ({holds}\n) THEN 1 END"
