"""The checks that a contract asks for, each by data that hold it and data that break it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.errors import ContractError
from data_contracts.source import moment
from tasks.errors import Breach
from tasks.validate import STAGE, accept, last_rows, summary_markdown
from tests.test_validate import ROWS, check, columns, contract, only_breach, replaced

__all__ = ["check"]


def asked(where: str, **check: Any) -> Any:
    """A contract that asks for one check of rows or of the table."""
    return contract(expectations={"tolerance": 0.1, where: [check]})


@pytest.mark.parametrize(
    ("by", "data", "breach"),
    [
        (
            {"check": "deviation", "column": "temp", "min": 0, "max": 5},
            columns(),
            "temp: expected deviation between 0 and 5 K, came 11.6905 K over 40 rows",
        ),
        (
            {"check": "unique", "columns": ["rain"]},
            replaced("rain", 3, 0.0),
            "rain: expected unique, came 2 rows that share keys, among them rain=0.0 (2 times)",
        ),
        (
            {"check": "unique", "columns": ["site", "wind"]},
            columns(),
            "site, wind: expected unique, came 40 rows that share keys, among them "
            "site=a, wind=0.0 (3 times)",
        ),
        (
            {"check": "increasing", "column": "rain", "by": ["site"]},
            replaced("rain", 7, 0.1),
            "rain: expected increasing in time within site, came 1 of 40 rows that break it, "
            "first at site=",
        ),
        (
            {"check": "sql", "holds": "count(DISTINCT site) >= 3"},
            columns(),
            "count(DISTINCT site) >= 3: expected holds, came false over 40 rows",
        ),
    ],
)
def test_a_check_of_the_table_stops_in_numbers(check, by, data, breach):
    assert only_breach(check(data, asked("table", **by))).startswith(breach)


@pytest.mark.parametrize(
    "by",
    [
        {"check": "deviation", "column": "temp", "min": 11, "max": 12},
        {"check": "unique", "columns": ["rain"]},
        {"check": "increasing", "column": "rain", "by": ["site"]},
        {"check": "increasing", "column": "temp"},
        {"check": "sql", "holds": "count(DISTINCT site) = 2 AND max(temp) < 350 -- both"},
    ],
)
def test_a_check_of_the_table_that_holds_is_silent(check, by):
    assert check(columns(), asked("table", **by)).breaches == ()


def test_a_condition_sets_rows_aside_and_says_nothing_where_it_is_neither(check, tmp_path):
    data = columns() | {"rain": [None, 9.0, *columns()["rain"][2:]]}
    checked = check(data, asked("rows", check="sql", holds='"rain" < 5'))
    (reason,) = checked.reasons
    assert (checked.quarantined, reason.expectation) == (1, '"rain" < 5 holds')
    assert reason.examples[0].startswith("rain=9.0 at site=b, hour=2020-01-01")
    assert pq.read_table(tmp_path / "out/quarantine.parquet").column("_row").to_pylist() == [1]


@pytest.mark.parametrize("where", ["rows", "table"])
def test_a_condition_that_is_no_sql_is_named_with_what_is_wrong(check, where):
    breach = only_breach(check(columns(), asked(where, check="sql", holds="rian < 5")))
    assert breach.startswith("rian < 5: expected a condition in DuckDB's SQL")
    assert "rian" in breach.split("came")[1]


def test_a_condition_can_read_no_other_file(check, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    holds = f"(SELECT count(*) FROM read_csv('{other}')) = 1"
    assert "came Permission Error" in only_breach(
        check(columns(), asked("table", check="sql", holds=holds))
    )


TOO_WARM = (
    "temp: expected at most 300 K, came 19 of 40 rows that break it, first at site=b, "
    "hour=2020-01-01 10:00:00+00"
)


def test_a_row_can_stop_the_run_or_only_warn(check, tmp_path):
    between = {"check": "between", "column": "temp", "max": 300}
    checked = check(columns(), asked("rows", severity="warn", **between))
    assert (checked.quarantined, checked.breaches) == (0, ())
    (warning,) = checked.warnings
    assert warning == TOO_WARM
    assert "1 broken, 1 of them to warn" in checked.summary


def test_a_row_that_stops_is_in_no_quarantine(check):
    between = {"check": "between", "column": "temp", "max": 300}
    checked = check(columns(), asked("rows", severity="stop", **between))
    assert only_breach(checked) == TOO_WARM
    assert checked.quarantined == 0


def test_a_check_of_the_table_can_only_warn(check):
    checked = check(columns(), asked("table", check="row_count", min=100, severity="warn"))
    assert checked.breaches == ()
    assert checked.warnings[0].startswith("rows: expected 100 or more, came 40")


def test_the_newest_row_may_be_too_old_though_the_rows_have_not_changed(check):
    by = asked("table", check="fresh", within="2d")
    checked = check(columns(), by)
    newest = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=ROWS // 2 - 1)
    assert moment(checked.newest) == newest
    with pytest.raises(
        Breach, match="expected the newest row within 2d, came 2020-01-01T19:00:00Z"
    ):
        accept(by, checked)
    told = summary_markdown(by, checked, "docs")
    assert "# small breaks its contract" in told
    assert told.count("- **stop**: hour: expected the newest row within 2d") == 1
    then = contract(
        expectations=by.expectations.model_dump(), source={**SOURCE, "as_of": "2020-01-03"}
    )
    assert accept(then, checked) is checked
    assert "# small keeps its contract" in summary_markdown(then, checked, "docs")


SOURCE = {"kind": "parquet", "path": "rows.parquet"}


def test_an_old_row_only_warns_where_that_is_asked(check):
    by = asked("table", check="fresh", within="2d", severity="warn")
    checked = check(columns(), by)
    assert accept(by, checked) is not None
    told = summary_markdown(by, checked, "docs")
    assert "# small keeps its contract" in told
    assert "- **warn**: hour: expected the newest row within 2d" in told


def test_the_rows_are_held_against_those_of_the_last_snapshot(check, tmp_path: Path):
    by = asked("table", check="volume", at_least=0.9, at_most=1.5)
    before = check(columns(), by)
    assert before.breaches == ()  # there is no last snapshot yet
    half = before.snapshot.model_copy(update={"rows": 100, "source": "another"})
    kept = before.model_copy(update={"snapshot": half})
    STAGE.run(by, "another", work=lambda _folder: kept)
    assert last_rows(by, before.snapshot) == 100
    from tasks.validate.checking import check_rows

    rows = tmp_path / "rows.parquet"
    (tmp_path / "again").mkdir()
    checked = check_rows(by, before.snapshot, rows, tmp_path / "again", last=100)
    assert only_breach(checked).startswith(
        "rows: expected between 90 and 150, the last snapshot having 100, came 40"
    )


def test_checks_of_time_need_a_time_column():
    from data_contracts.contract import Contract
    from tests.test_validate import CONTRACT

    content = CONTRACT | {"split": {"kind": "random"}, "time": None}
    content |= {"expectations": {"table": [{"check": "fresh", "within": "2d"}]}}
    with pytest.raises((ContractError, ValueError), match="needs no time"):
        Contract.model_validate(content)
