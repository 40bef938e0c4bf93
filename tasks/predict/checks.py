"""Which rows are not what a model was made for: by its contract, and by what it was fitted on.

In: a contract, a Preprocessing and raw rows. Out: Wrong, by what is expected and row. Of the
contract's row-level checks, those that name a target are left out, and those of columns that the
rows do not have and the model does not need.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.constraints import Constraint
from data_contracts.contract import Contract
from data_contracts.expectations import Between, NotNull, OneOf
from data_contracts.section import did_you_mean
from tasks.learning.checking import column_fault, misfits
from tasks.learning.listing import some
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.relations import Relation
from tasks.learning.tables import label_texts, numbers
from tasks.spans import as_stored, span, unit

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Check:
    """One check of the contract: which columns it reads, what it expects, which rows break it."""

    columns: tuple[str, ...]
    words: str
    broken: Callable[[pa.Table], Mask]


@dataclass(frozen=True)
class Wrong:
    """Rows that are not what is expected."""

    words: str
    """What is expected: `humid: expected between 0 and 100 %`."""
    columns: tuple[str, ...]
    """The columns whose cells show it."""
    rows: NDArray[np.int64]
    """The places of the rows, ascending, at least one."""


def checks_of(contract: Contract, schema: pa.Schema) -> list[Check]:
    """Return the contract's checks of single rows that rows with these columns can be held to."""
    targets = set(contract.target_columns)
    return [
        check
        for check in _checks(contract, schema)
        if set(check.columns) <= set(schema.names) - targets
    ]


def found_in(rows: pa.Table, checks: Sequence[Check], preprocessing: Preprocessing) -> list[Wrong]:
    """Return what is wrong with raw rows. Raises ValueError for a column that cannot be read."""
    found = []
    for check in checks:
        places = np.flatnonzero(check.broken(rows))
        if places.size:
            found.append(Wrong(check.words, check.columns, places))
    for misfit in misfits(preprocessing, rows):
        words = _words(misfit.column, misfit.expected)
        found.append(Wrong(words, (misfit.column,), misfit.rows))
    return found


def unreadable(
    rows: pa.Table, names: Sequence[str], needs: Iterable[str], preprocessing: Preprocessing
) -> list[str]:
    """Return why columns that are needed cannot be read, in words; [] where all can.

    `names` are all columns that there are, `rows` some rows of those that are needed.
    """
    found = []
    for column in needs:
        if column not in names:
            near = did_you_mean(column, list(names))
            found.append(f"{column}: expected a column of that name, came none; {near}".strip("; "))
        elif column in preprocessing.columns:
            found += filter(None, [column_fault(preprocessing, rows, column)])
    return found


def _words(column: str, expected: str) -> str:
    return f"{column}: expected {expected}"


def _checks(contract: Contract, schema: pa.Schema) -> Iterator[Check]:
    named = [*contract.key, *([contract.time] if contract.time else [])]
    for column in dict.fromkeys(named):
        yield _present(column)
    for column, feature in contract.feature_columns.items():
        limits = getattr(feature, "bounds", None)
        if limits is not None:
            yield _between(contract, schema, column, *limits)
    for check in contract.expectations.rows:
        match check:
            case Between():
                yield _between(contract, schema, check.column, check.min, check.max)
            case NotNull():
                yield _present(check.column)
            case OneOf():
                yield _one_of(check)
    for constraint in contract.constraints:
        yield _related(constraint)


def _present(column: str) -> Check:
    def broken(rows: pa.Table) -> Mask:
        lost = pc.is_null(rows.column(column), nan_is_null=True)
        return np.asarray(lost.to_numpy(), dtype=bool)

    return Check((column,), _words(column, "a value"), broken)


def _between(
    contract: Contract, schema: pa.Schema, column: str, least: float | None, most: float | None
) -> Check:
    low, high = as_stored(schema, column, least, most)
    low, high = (-np.inf if low is None else low), (np.inf if high is None else high)

    def broken(rows: pa.Table) -> Mask:
        values = numbers(rows, column)
        return (values < low) | (values > high)

    words = _words(column, span(least, most, unit(contract, column)))
    return Check((column,), words, broken)


def _one_of(check: OneOf) -> Check:
    plain = all(isinstance(v, int) for v in check.values)

    def broken(rows: pa.Table) -> Mask:
        if plain:
            values = numbers(rows, check.column)
            return ~(np.isnan(values) | np.isin(values, check.values))
        texts = label_texts(rows, check.column)
        known = pc.is_in(texts, value_set=pa.array([*map(str, check.values), None], pa.string()))
        return ~np.asarray(known.to_numpy(), dtype=bool)

    return Check((check.column,), _words(check.column, f"one of {some(check.values)}"), broken)


def _related(constraint: Constraint) -> Check:
    linear = constraint.linear
    relation = Relation(
        constraint.holds,
        (),
        tuple(linear.coefficients.items()),
        linear.constant,
        linear.equal,
        constraint.tolerance,
    )

    def broken(rows: pa.Table) -> Mask:
        return relation.broken(np.empty((len(rows), 0)), relation.given(rows))

    return Check(constraint.columns, f"expected {constraint.holds}", broken)
