"""Raw rows that a model was not made for are told, by column and row."""

from typing import Any

import pyarrow as pa
import pytest

from tasks.learning.checking import faults
from tasks.learning.fit_preprocessing import fit_preprocessing
from tests.builders import replaced, small_contract, small_rows

CONTRACT = small_contract()
SOME_MISSING = fit_preprocessing(CONTRACT, small_rows())
NONE_MISSING = fit_preprocessing(CONTRACT, small_rows(missing=0))
ROWS = small_rows(4, seed=1, missing=0)


def told(column: str, values: Any, fitted: Any = NONE_MISSING) -> list[str]:
    """Return what is wrong with rows that have these values in a column."""
    return [fault.words for fault in faults(fitted, replaced(ROWS, column, values))]


def test_rows_like_the_train_rows_have_no_fault() -> None:
    assert faults(SOME_MISSING, small_rows(50, seed=3)) == []
    assert faults(SOME_MISSING, small_rows(50, seed=3).to_pandas()) == []


def test_a_column_that_is_not_there_is_named() -> None:
    (fault,) = faults(NONE_MISSING, ROWS.drop_columns(["angle"]))
    assert fault == ("angle", None, "angle: expected a number, came no such column")


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("x", ["1", "2", "3", "four"], "x: expected numbers, came text such as '1'"),
        ("time", [1, 2, 3, 4], "time: expected points in time, came int64"),
        ("place", [[1], [2], [3], [4]], "place: expected labels, came list<item: int64>"),
    ],
)
def test_a_column_of_the_wrong_type_is_told_once(column: str, values: Any, words: str) -> None:
    assert told(column, values) == [words]


def test_an_infinite_number_is_told_with_its_row_in_every_column_that_is_read() -> None:
    words = "expected a number within ±3.4e+38, came inf in row 2"
    assert told("x", [1, 2, float("inf"), 4]) == [f"x: {words}"]
    assert told("angle", [1, 2, float("inf"), 4]) == [f"angle: {words}"]


def test_a_missing_number_is_a_fault_where_no_train_row_lacked_one() -> None:
    values = [1.0, None, 3.0, None]
    words = "x: expected a number, since no train row lacked it, came nothing in row"
    assert told("x", values) == [f"{words} 1", f"{words} 3"]
    assert told("x", values, SOME_MISSING) == []


def test_a_label_that_no_train_row_had_is_told_and_a_missing_one_is_not() -> None:
    values = ["here", None, "elsewhere", "there"]
    assert told("place", values) == ["place: expected one of here, there, came elsewhere in row 2"]


def test_a_long_strange_value_is_shortened_and_only_so_many_are_told() -> None:
    rows = replaced(ROWS, "place", ["y" * 1000] * 4)
    found = faults(NONE_MISSING, rows, most=2)
    assert [fault.row for fault in found] == [0, 1]
    assert all(len(fault.words) < 150 for fault in found)


def test_no_rows_have_no_fault() -> None:
    assert faults(NONE_MISSING, pa.table(ROWS).slice(0, 0)) == []
