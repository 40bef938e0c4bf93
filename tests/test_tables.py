"""Raw columns of any type: read for what they mean, or refused by name."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks.learning.tables import as_table, labels, numbers, seconds


def column(values: Any, kind: pa.DataType | None = None) -> pa.Table:
    """Return a table of one column, c."""
    return pa.table({"c": values if isinstance(values, pa.Array) else pa.array(values, kind)})


def frame(values: Any, kind: str | None = None) -> pa.Table:
    """Return a table of one column, c, that came as a pandas frame."""
    return as_table(pd.DataFrame({"c": pd.Series(values, dtype=kind)}), ["c"])


@pytest.mark.parametrize(
    "table",
    [
        column([1, 0, None], pa.int8()),
        column([1.0, 0.0, float("nan")], pa.float16()),
        column([True, False, None]),
        column([Decimal("1.0"), Decimal("0"), None]),
        column(pa.array([1, 0, None]).dictionary_encode()),
        frame([1, 0, None], "Int64"),
        frame([True, False, None], "boolean"),
        frame([1.0, 0.0, np.nan], "category"),
    ],
)
def test_whatever_counts_reads_as_numbers(table: pa.Table) -> None:
    found = numbers(table, "c")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan])


@pytest.mark.parametrize(
    ("table", "came"),
    [
        (frame(["1", "b"], "category"), "text such as '1'"),
        (column(["a"], pa.string_view()), "text such as 'a'"),
        (column([None, "12"]), "text such as '12'"),
        (column([b"1"]), "binary"),
        (column([datetime.date(2024, 1, 1)]), "date32"),
        (column([[1.0]]), "list<item: double>"),
    ],
)
def test_what_does_not_count_is_refused_by_name(table: pa.Table, came: str) -> None:
    with pytest.raises(ValueError, match=f"^c: expected numbers, came {came}"):
        numbers(table, "c")


@pytest.mark.parametrize(
    "table",
    [
        column([1704110400123456789], pa.timestamp("ns")),
        frame(pd.to_datetime(["2024-01-01 12:00:00.123456789"])),
        frame(pd.to_datetime(["2024-01-01 07:00:00.123456"]).tz_localize("America/New_York")),
        column(["2024-01-01T13:00:00.123456+01:00"]),
        frame(["2024-01-01T12:00:00.123456Z"], "category"),
    ],
)
def test_a_moment_is_read_to_the_microsecond_in_any_zone(table: pa.Table) -> None:
    assert seconds(table, "c").tolist() == [1704110400.123456]


@pytest.mark.parametrize("values", [[1704110400], [1704110400.0], [True], ["noon"], ["2024", "x"]])
def test_what_is_no_moment_is_refused_by_name(values: list[Any]) -> None:
    # A number does not tell whether it counts seconds, days or nanoseconds.
    with pytest.raises(ValueError, match=r"^c: expected points in time, came"):
        seconds(column(values), "c")


@pytest.mark.parametrize("read", [numbers, seconds])
def test_a_column_of_nothing_is_missing_throughout(read: Any) -> None:
    assert np.isnan(read(column([None, None]), "c")).all()
    assert labels(column([None, None]), "c").tolist() == [None, None]


LONG = 9_007_199_254_740_991
"""The largest whole number up to which doubles hold every one."""


@pytest.mark.parametrize(
    "table",
    [
        column([3, LONG, None]),
        column([3, LONG, None], pa.float64()),
        column(["3", str(LONG), None]),
        frame([3, LONG, None]),
        frame([3, LONG, None], "Int64"),
    ],
)
def test_a_label_that_is_a_whole_number_reads_alike_however_it_is_stored(table: pa.Table) -> None:
    assert labels(table, "c").tolist() == ["3", str(LONG), None]


def test_a_label_reads_alike_whatever_stands_beside_it() -> None:
    # A fraction or a missing value in another row must not turn 3 into another label.
    beside = (7.0, 2.5, float("nan"), float("inf"), 1e300, None)
    assert {labels(column([3.0, other]), "c")[0] for other in beside} == {"3"}


def test_half_precision_and_categories_are_labels() -> None:
    assert labels(column([3.0], pa.float16()), "c").tolist() == ["3"]
    assert labels(frame(["a", None], "category"), "c").tolist() == ["a", None]


@pytest.mark.parametrize("values", [[[1]], [{"a": 1}], [b"\xff"]])
def test_what_is_no_label_is_refused_by_name(values: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^c: expected labels, came"):
        labels(column(values), "c")


@pytest.mark.parametrize("values", [[1, "two"], [2**70], [1 + 2j], [{1}, 2.0]])
def test_a_pandas_column_that_has_no_one_type_is_refused_by_name(values: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^c: expected values of one type"):
        as_table(pd.DataFrame({"c": pd.Series(values)}), ["c"])


def test_columns_come_in_the_order_that_was_asked_for() -> None:
    rows = pa.table({"a": [1], "b": [2], "c": [3]})
    for given in (rows, rows.to_pandas()):
        assert as_table(given, ["c", "a", "c"]).column_names == ["c", "a"]
