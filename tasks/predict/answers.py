"""One block of rows answered: what is wrong with it, and predictions in units.

In: raw rows and the version that answers. Out: Answered. Raises DataError for rows that are not
what the model was made for, where that is to stop.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.learning.checking import cell
from tasks.learning.held import TornError
from tasks.predict.checks import Wrong, found_in
from tasks.predict.columns import Columns
from tasks.predict.request import Invalid

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
TOLD = 5
"""How many things are told where the first stops."""


@dataclass(frozen=True)
class Answered:
    """A block's answers."""

    read: int
    """How many rows came."""
    rows: pa.Table
    """What goes to the output, in order."""
    aside: pa.Table
    """What goes to quarantine, with `_row` and `_reasons`."""
    invalid: int
    """How many rows are not what the model was made for."""
    reasons: Counter[str]
    """How many rows there are by reason."""
    seconds: dict[str, float]
    """How long checking and predicting took."""


@dataclass(frozen=True)
class Answers:
    """Answers blocks of rows; may be called from several threads at once."""

    columns: Columns
    invalid: Invalid

    def __call__(self, rows: pa.Table, first: int) -> Answered:
        """Answer raw rows, of which the first is row `first` of all. Raises DataError."""
        start = time.perf_counter()
        wrong = self._wrong(rows, first)
        self._stop(rows, wrong, first)
        checked = time.perf_counter()
        values, torn = self._predicted(rows, wrong)
        self._stop(rows, torn, first)
        seconds = {"checking": checked - start, "predicting": time.perf_counter() - checked}
        return self._answered(rows, values, [*wrong, *torn], first, seconds)

    def _wrong(self, rows: pa.Table, first: int) -> list[Wrong]:
        fitted = self.columns.model.bundle.members[0].preprocessing
        try:
            return found_in(rows, self.columns.checks, fitted)
        except ValueError as error:
            raise DataError(f"{error}, in {_span(rows, first)}") from None

    def _predicted(self, rows: pa.Table, wrong: Sequence[Wrong]) -> tuple[Values, list[Wrong]]:
        """Return values (rows, columns), NaN where there are none, and the rows whose limits
        contradict each other."""
        asked, torn = np.ones(len(rows), bool), []
        for each in wrong if self.invalid == "quarantine" else ():
            asked[each.rows] = False
        while True:
            some = rows if asked.all() else rows.filter(pa.array(asked))
            try:
                values = self._values(some)
                break
            except TornError as error:
                row = int(np.flatnonzero(asked)[error.row])
                asked[row] = False
                words = f"expected limits that a prediction can hold, of {error.words}"
                torn.append(Wrong(words, (), np.array([row])))
        if asked.all():
            return values, torn
        whole = np.full((len(rows), values.shape[1]), np.nan)
        whole[asked] = values
        return whole, torn

    def _values(self, rows: pa.Table) -> Values:
        level = self.columns.interval
        # What is out of all bounds gives no number, which is no answer.
        with np.errstate(all="ignore"):
            found = self.columns.model.bundle.predict(rows, levels=() if level is None else [level])
        ends = () if level is None else (found.intervals or {})[level]
        values = np.concatenate([found.mean, *ends], axis=1)
        values[~np.isfinite(values)] = np.nan
        return values

    def _answered(
        self,
        rows: pa.Table,
        values: Values,
        wrong: Sequence[Wrong],
        first: int,
        seconds: dict[str, float],
    ) -> Answered:
        reasons = _by_row(wrong)
        aside = sorted(reasons) if self.invalid == "quarantine" else []
        return Answered(
            len(rows),
            self._written(rows, values, reasons, aside),
            self._aside(rows, reasons, aside, first),
            len(reasons),
            Counter(words for own in reasons.values() for words in own),
            seconds,
        )

    def _written(
        self, rows: pa.Table, values: Values, reasons: dict[int, list[str]], aside: Sequence[int]
    ) -> pa.Table:
        """Return the key, the values and the mark of all rows but those set aside."""
        arrays = [rows.column(column) for column in self.columns.key]
        arrays += [pa.array(column, from_pandas=True) for column in values.T]
        if self.columns.marked:
            marks = ["; ".join(reasons[i]) if i in reasons else None for i in range(len(rows))]
            arrays.append(pa.array(marks, pa.string()))
        table = pa.table(arrays, schema=self.columns.written)
        if not aside:
            return table
        kept = np.ones(len(rows), bool)
        kept[aside] = False
        return table.filter(pa.array(kept))

    def _aside(
        self, rows: pa.Table, reasons: dict[int, list[str]], aside: Sequence[int], first: int
    ) -> pa.Table:
        schema = self.columns.aside
        places = pa.array(aside, pa.int64())
        words = pa.array([reasons[row] for row in aside], schema.types[-1])
        cells = rows.select(self.columns.read.names).take(places).columns
        return pa.table([pa.array([i + first for i in aside], pa.int64()), *cells, words], schema)

    def _stop(self, rows: pa.Table, wrong: Sequence[Wrong], first: int) -> None:
        """Raise the error that names column, value and row of what comes first, where asked to."""
        if not wrong or self.invalid != "stop":
            return
        model = self.columns.model
        firsts = sorted(wrong, key=lambda each: int(each.rows[0]))
        lines = [f"  - {self._line(rows, each, first)}" for each in firsts[:TOLD]]
        count = len({row for each in wrong for row in each.rows.tolist()})
        raise DataError(
            f"{count:,} of {_span(rows, first)} are not what {model.model} version "
            f"{model.version} was made for, so nothing is written:\n" + "\n".join(lines) + "\n"
            "  --invalid quarantine sets such rows aside; --invalid mark answers and marks them"
        )

    def _line(self, rows: pa.Table, wrong: Wrong, first: int) -> str:
        row = int(wrong.rows[0])
        cells = {column: cell(rows, column, row) for column in wrong.columns}
        pairs = [f"{column}={value}" for column, value in cells.items()]
        came = ", ".join(pairs if len(pairs) > 1 else cells.values())
        key = ", ".join(f"{c}={cell(rows, c, row)}" for c in self.columns.key)
        return f"{wrong.words}{f', came {came}' * bool(came)} in row {first + row} ({key})"


def _by_row(wrong: Sequence[Wrong]) -> dict[int, list[str]]:
    """Return what is wrong with each row that something is wrong with, each once."""
    found: dict[int, dict[str, None]] = {}
    for each in wrong:
        for row in each.rows.tolist():
            found.setdefault(row, {})[each.words] = None
    return {row: list(words) for row, words in found.items()}


def _span(rows: pa.Table, first: int) -> str:
    return f"rows {first} to {first + len(rows) - 1}"
