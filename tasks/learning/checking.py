"""What is wrong with raw rows, by what a model was fitted on: found before they are predicted.

In: a fitted Preprocessing and raw rows (Arrow or pandas). Out: Faults, in words by column and row.
A model answers whatever it can read; who would rather be told asks here first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.learning.encoders import CategoricalEncoder, CyclicEncoder, NumericEncoder
from tasks.learning.listing import some
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.tables import as_table, label_texts, numbers, seconds

LARGEST = float(np.finfo(np.float32).max)
"""The greatest number that a network can take."""
KINDS = {"timestamp": "a point in time", "categorical": "a label"}
"""What a column holds by the kind of its encoder; of another kind, and with none, a number."""

READERS: dict[str, Callable[[pa.Table, str], Any]] = {
    "numeric": numbers,
    "cyclic": numbers,
    "present": numbers,
    "timestamp": seconds,
    "categorical": label_texts,
}


class Fault(NamedTuple):
    """Something that a model was not made for."""

    column: str
    row: int | None
    """The place of the row, from 0; None for the whole column."""
    words: str
    """What was expected, what came, and where."""


@dataclass(frozen=True)
class Misfit:
    """The rows of which a column holds what is not expected of it."""

    column: str
    expected: str
    rows: NDArray[np.int64]
    """The places of the rows, ascending, at least one."""


def faults(preprocessing: Preprocessing, rows: Any, most: int = 100) -> list[Fault]:
    """Return what is wrong with raw rows, [] where nothing: `most` cells of each column at most.

    A column that is missing or cannot be read, a number that is infinite or too large, a missing
    number where no train row lacked one, a label that no train row had. Of a missing label or
    time, and of a missing present value of a target, it is not known whether train rows lacked
    one: they are no fault.
    """
    found: list[Fault] = []
    for column in preprocessing.columns:
        words = column_fault(preprocessing, rows, column)
        if words:
            found.append(Fault(column, None, words))
            continue
        table = as_table(rows, [column])
        for misfit in _misfits(preprocessing, table, column):
            found += [_fault(misfit, table, row) for row in misfit.rows[:most].tolist()]
    return found


def column_fault(preprocessing: Preprocessing, rows: Any, column: str) -> str:
    """Return why a column cannot be read as the model needs it, in words; "" where it can."""
    kind = _kind(preprocessing, column)
    have = rows.column_names if isinstance(rows, pa.Table) else list(rows.columns)
    if column not in have:
        return f"{column}: expected {KINDS.get(kind, 'a number')}, came no such column"
    read = READERS[kind]
    try:
        read(as_table(rows, [column]), column)
    except ValueError as error:
        return str(error)
    return ""


def misfits(preprocessing: Preprocessing, table: pa.Table) -> Iterator[Misfit]:
    """Yield what raw rows hold that is not expected. Raises ValueError as Preprocessing does."""
    for column in preprocessing.columns:
        yield from _misfits(preprocessing, table, column)


def _misfits(preprocessing: Preprocessing, table: pa.Table, column: str) -> Iterator[Misfit]:
    kind = _kind(preprocessing, column)
    if kind == "timestamp":
        return
    encoders = [e for e in preprocessing.encoders if e.column == column]
    for encoder in encoders:
        if isinstance(encoder, CategoricalEncoder):
            yield from _labels(encoder, table)
    if kind != "categorical":
        required = any(isinstance(e, NumericEncoder | CyclicEncoder) for e in encoders)
        required = required and not any(getattr(e, "indicator", False) for e in encoders)
        yield from _numbers(numbers(table, column), column, required)


def _numbers(values: NDArray[np.float64], column: str, required: bool) -> Iterator[Misfit]:
    fits = np.abs(values) <= LARGEST
    if fits.all():
        return
    missing = np.isnan(values)
    large = np.flatnonzero(~fits & ~missing)
    if large.size:
        yield Misfit(column, f"a number within ±{LARGEST:.2g}", large)
    if required and missing.any():
        expected = "a number, since no train row lacked it"
        yield Misfit(column, expected, np.flatnonzero(missing))


def _labels(encoder: CategoricalEncoder, table: pa.Table) -> Iterator[Misfit]:
    texts = label_texts(table, encoder.column)
    known = pc.is_in(texts, value_set=pa.array(encoder.known, pa.string()))
    strange = np.flatnonzero(pc.and_(pc.is_valid(texts), pc.invert(known)).to_numpy())
    if strange.size:
        yield Misfit(encoder.column, f"one of {some(encoder.known)}", strange)


def _kind(preprocessing: Preprocessing, column: str) -> str:
    """Return the kind of a column's encoder; "present" for one that has none."""
    kinds = (e.kind for e in preprocessing.encoders if e.column == column)
    return next(kinds, "present")


def _fault(misfit: Misfit, table: pa.Table, row: int) -> Fault:
    words = f"{misfit.column}: expected {misfit.expected}, came {cell(table, misfit.column, row)}"
    return Fault(misfit.column, row, f"{words} in row {row}")


def cell(table: pa.Table, column: str, row: int) -> str:
    """Return a cell as a reader would write it, shortened."""
    value = table.column(column)[row].as_py()
    text = "nothing" if value is None or value != value else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
