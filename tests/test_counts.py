"""What is counted for all checks at once is what Great Expectations counts by itself."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.validate.check import Check, stop
from tasks.validate.counts import Metrics, counted
from tasks.validate.engine import _by_itself, _library, _place, _view, quiet, run

ROWS: dict[str, Any] = {
    "_row": [0, 1, 2, 3, 4],
    "id": [1, 2, 3, 4, 5],
    "site": ["a", "a", "b", None, "it's"],
    "twin": [7, 8, 8, None, None],
    "x": [0.1, 0.2, None, -4.0, 1e9],
    "y": [1, 1, 2, 3, None],
    "code": ["c", "d", "d", None, "e"],
    "flag": [True, False, True, True, None],
}
X = {"column": "x"}
PAIR = {"or_equal": True, "ignore_row_if": "either_value_is_missing"}
CHECKS: list[tuple[str, dict[str, Any]]] = [
    ("ColumnToExist", X),
    ("ColumnToExist", {"column": "z"}),
    ("TableRowCountToBeBetween", {"min_value": 5}),
    ("TableRowCountToBeBetween", {"max_value": 4}),
    ("ColumnProportionOfNonNullValuesToBeBetween", X | {"min_value": 0.8}),
    ("ColumnProportionOfNonNullValuesToBeBetween", X | {"min_value": 0.8, "strict_min": True}),
    ("ColumnMeanToBeBetween", X | {"min_value": 0, "max_value": 1e9}),
    ("ColumnMeanToBeBetween", {"column": "y", "max_value": 1}),
    ("ColumnStdevToBeBetween", X | {"min_value": 0.5}),
    ("ColumnStdevToBeBetween", {"column": "y", "max_value": 0.5}),
    ("ColumnMaxToBeBetween", {"column": "flag", "max_value": 1}),
    ("ColumnMaxToBeBetween", X | {"max_value": 1}),
    ("ColumnValuesToNotBeNull", {"column": "id"}),
    ("ColumnValuesToBeBetween", X | {"min_value": -4, "max_value": 1e9}),
    ("ColumnValuesToBeBetween", X | {"min_value": -5.5}),
    ("ColumnValuesToBeBetween", {"column": "flag", "max_value": 1}),
    ("ColumnValuesToBeInSet", {"column": "site", "value_set": ["a", "b", "it's"]}),
    ("ColumnValuesToBeInSet", {"column": "y", "value_set": [1, 2, 3]}),
    ("ColumnValuesToBeUnique", {"column": "id"}),
    ("ColumnValuesToBeUnique", X),
    ("CompoundColumnsToBeUnique", {"column_list": ["site", "x"]}),
    ("ColumnPairValuesAToBeGreaterThanB", {"column_A": "id", "column_B": "y"} | PAIR),
]
BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("ColumnValuesToNotBeNull", X),
    ("ColumnValuesToBeBetween", X | {"min_value": 0, "max_value": 0.2}),
    ("ColumnValuesToBeInSet", {"column": "site", "value_set": ["a", "b"]}),
    ("ColumnValuesToBeUnique", {"column": "site"}),
    ("CompoundColumnsToBeUnique", {"column_list": ["twin", "code"]}),
]


def made(checks: list[tuple[str, dict[str, Any]]]) -> list[Check]:
    return [stop(f"Expect{name}", name, str(options), options) for name, options in checks]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(pa.table(ROWS), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def asked(checks: list[Check], file: Path) -> dict[int, Any]:
    """Return what the library says where it counts for itself."""
    view = _view(file, pq.read_schema(file), checks)
    with quiet():
        return {_place(r): r for r in _by_itself(_library(checks), file, view, 10)}


def counts_of(checks: list[Check], file: Path) -> dict[int, Metrics]:
    return counted(checks, file, _view(file, pq.read_schema(file), checks))


def broken(metrics: Metrics) -> bool:
    return any(v for name, v in metrics.items() if name.endswith("unexpected_count"))


def found_by(checks: list[Check], file: Path) -> Any:
    with quiet():
        return run(checks, file, pq.read_schema(file), 10)


def test_the_library_says_the_same_of_the_counts_as_of_its_own(file):
    checks = made(CHECKS)
    assert sorted(counts_of(checks, file)) == list(range(len(checks)))
    own, found = asked(checks, file), found_by(checks, file)
    for place, result in enumerate(found.results):
        assert result.success == own[place].success, checks[place]
        for name, value in result.result.items():
            if name in own[place].result and name != "partial_unexpected_list":
                assert value == pytest.approx(own[place].result[name]), (checks[place], name)
    kept = sum(bool(r.success) for r in own.values())
    assert 0 < found.statistics["unsuccessful_expectations"] == len(checks) - kept


def test_of_what_rows_break_the_library_names_the_rows(file):
    checks = made(BROKEN)
    assert [p for p, c in counts_of(checks, file).items() if not broken(c)] == []
    found = found_by(checks, file)
    assert [r.result["unexpected_count"] for r in found.results] == [1, 2, 1, 2, 2]
    rows = [r.result["unexpected_index_list"][0]["_row"] for r in found.results[:3]]
    assert [sorted(r) for r in rows] == [[2], [3, 4], [4]]
