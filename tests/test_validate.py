"""Rows are held against their contract: bad ones are set aside, and a breach says what to mend."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.records import Checked, Snapshot
from tasks.validate.breaches import table_breaches
from tasks.validate.check import Check
from tasks.validate.checking import check_rows
from tasks.validate.engine import outcomes, quiet, run

CONTRACT: dict[str, Any] = {
    "format": 1,
    "dataset": "small",
    "source": {"kind": "parquet", "path": "rows.parquet"},
    "key": ["site", "hour"],
    "time": "hour",
    "features": {
        "site": {"kind": "categorical"},
        "hour": {"kind": "timestamp", "parts": ["hour_of_day"]},
        "temp": {"unit": "K", "bounds": [200, 350]},
        "wind": {"unit": "m/s", "bounds": [0, 90]},
        "rain": {},
    },
    "targets": {"ahead": {"unit": "m/s", "bounds": [0, 90], "present": "wind"}},
    "expectations": {"tolerance": 0.1},
    "split": {"kind": "time"},
    "recipe": "shared_128_64",
}
ROWS = 40


def contract(**changes: Any) -> Contract:
    return Contract.model_validate(CONTRACT | changes)


def columns() -> dict[str, Any]:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return {
        "site": ["a", "b"] * (ROWS // 2),
        "hour": [start + timedelta(hours=i // 2) for i in range(ROWS)],
        "temp": [280.0 + i for i in range(ROWS)],
        "wind": [float(i % 7) for i in range(ROWS)],
        "rain": [0.1 * i for i in range(ROWS)],
        "ahead": [float((i + 3) % 7) for i in range(ROWS)],
    }


@pytest.fixture
def check(tmp_path: Path):
    """Check a table's columns against a contract; the files go to tmp_path / 'out'."""

    def run(data: dict[str, Any], by: Contract | None = None) -> Checked:
        table = pa.table(data)
        numbers = pa.array(range(table.num_rows), pa.int64())
        file, folder = tmp_path / "rows.parquet", tmp_path / "out"
        pq.write_table(table.add_column(0, "_row", numbers), file)
        folder.mkdir()
        types = {f.name: str(f.type) for f in table.schema}
        snapshot = Snapshot(rows=table.num_rows, columns=types, source="")
        return check_rows(by or contract(), snapshot, file, folder)

    return run


def replaced(column: str, row: int, value: Any) -> dict[str, Any]:
    data = columns()
    data[column][row] = value
    return data


def only_breach(checked: Checked) -> str:
    (breach,) = checked.breaches
    return breach


def test_rows_that_keep_their_contract_all_go_on(check, tmp_path):
    checked = check(columns())
    assert (checked.rows, checked.quarantined, checked.reasons) == (ROWS, 0, ())
    assert checked.breaches == ()
    assert pq.read_table(tmp_path / "out/quarantine.parquet").num_rows == 0


def test_an_impossible_wind_speed_is_quarantined_with_its_reason_and_key(check):
    checked = check(replaced("wind", 5, 1048.36))
    (reason,) = checked.reasons
    assert (checked.quarantined, checked.rows, checked.breaches) == (1, ROWS - 1, ())
    assert (reason.expectation, reason.rows) == ("wind between 0 and 90 m/s", 1)
    assert reason.examples == ("1048.36 at site=b, hour=2020-01-01 02:00:00+00:00",)


def test_quarantine_holds_whole_rows_with_every_reason(check, tmp_path):
    data = replaced("wind", 5, -1.0)
    data["ahead"][5] = 91.0
    check(data)
    table = pq.read_table(tmp_path / "out/quarantine.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert table.drop_columns("_reasons").equals(rows.slice(5, 1))
    assert table.column("_reasons").to_pylist() == [
        ["wind between 0 and 90 m/s", "ahead between 0 and 90 m/s"]
    ]


def test_a_missing_cell_keeps_its_bounds(check):
    checked = check(replaced("ahead", 3, None))
    assert (checked.quarantined, checked.breaches) == (0, ())


def test_a_renamed_column_is_named_with_the_nearest_there_is(check):
    data = columns()
    data["wind_speed"] = data.pop("wind")
    assert only_breach(check(data)).startswith(
        "wind: expected a number, came no such column; did you mean 'wind_speed'"
    )


def test_a_column_that_the_contract_has_is_not_meant_by_another(check):
    data = columns()
    data["elsewhere"] = data.pop("wind")
    features = {c: {} for c in ("temp", "wind", "windy")}
    data["windy"] = data.pop("rain")
    assert only_breach(check(data, contract(features=features))).startswith(
        "wind: expected a number, came no such column; rename it in source.query"
    )


def test_a_missing_column_stops_and_still_leaves_the_files(check, tmp_path):
    data = columns()
    del data["rain"]
    assert only_breach(check(data)).startswith("rain: expected a number, came no such column; ")
    found = json.loads((tmp_path / "out/validation.json").read_text())
    broken = [e["words"] for e in found["expectations"] if not e["success"]]
    assert broken == ["rain present, a number"]
    assert (tmp_path / "out/data_docs/index.html").is_file()


def test_names_that_differ_by_case_alone_are_refused(check):
    breach = only_breach(check(columns() | {"Wind": columns()["wind"]}))
    assert breach.startswith("wind: expected a name of its own, came 'Wind' too")


@pytest.mark.parametrize(
    ("column", "values", "breach"),
    [
        ("temp", ["1"], 'temp: expected a number, came string; cast it in source.query: "temp"::D'),
        (
            "temp",
            [[1.0]],
            "temp: expected a number, came list<element: double>; "
            'take one of its values in source.query: "temp"[1]',
        ),
        (
            "temp",
            [{"x": 1.0}],
            "temp: expected a number, came struct<x: double>; "
            'take one of its fields in source.query: "temp"."x"',
        ),
        ("hour", [7], "hour: expected a timestamp or a date, came int64"),
        (
            "hour",
            ["31/12/2026"],
            'hour: expected a timestamp or a date, came string; cast it in source.query: "hour"'
            """::TIMESTAMP, or strptime("hour", '%d/%m/%Y') for text such as 31/12/2026""",
        ),
        ("site", [0.5], "site: expected text, a whole number or true/false, came double"),
    ],
)
def test_a_wrong_type_is_named(check, column, values, breach):
    assert only_breach(check(columns() | {column: values * ROWS})).startswith(breach)


def test_whole_numbers_decimals_and_flags_are_numbers(check):
    data = columns()
    data["temp"] = pa.array(range(280, 280 + ROWS), pa.int16())
    data["wind"] = pa.array(data["wind"]).cast(pa.decimal128(9, 3))
    data["rain"] = [True, False] * (ROWS // 2)
    rows = [{"check": "between", "column": "rain", "min": 0, "max": 0.5}]
    checked = check(data, contract(expectations={"tolerance": 1.0, "rows": rows}))
    assert (checked.breaches, checked.quarantined) == ((), ROWS // 2)


def test_a_label_may_be_text_with_codes_whole_or_a_flag(check):
    data = columns() | {"site": pa.array(columns()["site"]).dictionary_encode()}
    rows = [{"check": "one_of", "column": "site", "values": ["a"]}]
    checked = check(data, contract(expectations={"tolerance": 1.0, "rows": rows}))
    assert (checked.breaches, checked.quarantined) == ((), ROWS // 2)
    assert checked.reasons[0].expectation == "site one of a"


@pytest.mark.parametrize("cells", [[None] * ROWS, pa.nulls(ROWS, pa.float64()), pa.nulls(ROWS)])
def test_a_column_without_any_value_stops(check, cells):
    assert only_breach(check(columns() | {"ahead": cells})) == (
        "ahead: expected not all missing, came 100% missing (40 of 40 rows); mend the source or "
        "source.query, or take the column out of the contract"
    )


def test_a_constant_target_stops(check):
    data = columns() | {"ahead": [3.0] * (ROWS - 1) + [None]}
    assert only_breach(check(data)).startswith(
        "ahead: expected not constant, came one value in all of 40 rows; nothing can be learned"
    )


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_infinite_value_is_quarantined(check, value):
    data = replaced("rain", 5, value)
    data["wind"][6] = value
    checked = check(data)
    found = {r.expectation for r in checked.reasons}
    assert found == {"rain is finite", "wind between 0 and 90 m/s"}
    assert checked.quarantined == 2


def test_a_duplicate_key_stops_and_is_named(check):
    data = columns()
    data["site"] = ["a", "a", "a", *data["site"][3:]]
    breach = only_breach(check(data))
    assert breach.startswith(
        "site, hour: expected unique, came 2 rows that share keys, among them "
        "site=a, hour=2020-01-01 00:00:00+00 (2 times); add what tells them apart"
    )


def test_a_key_of_one_column_is_unique_too(check):
    data = columns() | {"id": [1, 1, *range(2, ROWS)]}
    breach = only_breach(check(data, contract(key=["id"])))
    assert breach.startswith("id: expected unique, came 2 rows that share keys, among them id=1 (2")


def test_a_missing_key_stops(check):
    breach = only_breach(check(replaced("hour", 3, None)))
    assert breach.startswith("hour: expected not missing, came 1 missing in 40 rows; leave")


def test_an_empty_table_stops_with_that_alone(check):
    empty = pa.table(columns()).slice(0, 0)
    breach = only_breach(check(dict(zip(empty.column_names, empty.columns, strict=True))))
    assert breach.startswith("rows: expected 1 or more, came 0;")


def test_more_bad_rows_than_the_tolerance_stop(check):
    data = columns()
    data["wind"][:5] = [100.0] * 5
    data["temp"][0] = 9.0
    checked = check(data)
    assert checked.quarantined == 5
    assert only_breach(checked).startswith(
        "5 of 40 rows (12.5%) broke row expectations, more than the tolerance of 10%: "
        "wind between 0 and 90 m/s (5); temp between 200 and 350 K (1); mend"
    )


def test_far_too_many_bad_rows_are_set_aside_in_part_and_the_breach_says_so(check, monkeypatch):
    monkeypatch.setattr("tasks.validate.checking.LEAST_NAMED", 8)
    checked = check(columns() | {"wind": [-1.0] * ROWS})
    assert (checked.quarantined, checked.reasons[0].rows) == (8, ROWS)
    assert only_breach(checked).startswith("at least 8 of 40 rows (20%) broke row expectations")


def test_what_cannot_be_checked_is_a_breach(tmp_path):
    table, file = pa.table({"_row": [0], "site": ["a"]}), tmp_path / "rows.parquet"
    pq.write_table(table, file)
    options = {"column": "site", "min_value": 0}
    mean = Check("site", "mean 0 or more", "stop", "ExpectColumnMeanToBeBetween", options)
    with quiet():
        found = outcomes([mean], run([mean], file, table.schema, 10))
    (breach,) = table_breaches(contract(), found, 1, file)
    assert breach.startswith("site: expected mean 0 or more, came no answer: ")
    assert "VARCHAR" in breach


def test_constraints_hold_where_both_sides_are_there(check):
    data = columns()
    data["rain"] = [v - 1 for v in data["wind"]]
    data["rain"][4], data["rain"][6], data["wind"][8] = 50.0, None, None
    checked = check(data, contract(constraints=["rain <= wind"]))
    (reason,) = checked.reasons
    assert (reason.expectation, reason.rows) == ("rain <= wind", 1)
    assert reason.examples[0].startswith("rain=50.0, wind=4.0 at site=a")


def test_a_row_weight_is_there_and_not_negative(check):
    data = columns() | {"weight": [1.0, -1.0, None, float("inf")] + [0.0] * (ROWS - 4)}
    checked = check(data, contract(row_weight="weight"))
    assert {r.expectation: r.rows for r in checked.reasons} == {
        "weight not missing": 1,
        "weight 0 or more, and finite": 2,
    }


def test_the_expectations_of_the_table_stop_in_numbers(check):
    table = [
        {"check": "row_count", "min": 1000},
        {"check": "missing_share", "column": "rain", "max": 0.1},
        {"check": "mean", "column": "temp", "min": 200, "max": 250},
    ]
    data = columns() | {"rain": [None] * 8 + columns()["rain"][8:]}
    breaches = check(data, contract(expectations={"table": table})).breaches
    expected = [
        "rows: expected 1,000 or more, came 40; ",
        "rain: expected missing in at most 0.1 of rows, came 20% missing (8 of 40 rows); ",
        "temp: expected mean between 200 and 250 K, came 299.5 K over 40 rows; ",
    ]
    assert [b.startswith(e) for b, e in zip(breaches, expected, strict=True)] == [True] * 3


def test_a_missing_share_at_its_limit_holds(check):
    table = [{"check": "missing_share", "column": "rain", "max": 0.7}]
    data = columns() | {"rain": [None] * 28 + columns()["rain"][28:]}
    assert check(data, contract(expectations={"table": table})).breaches == ()


def test_a_32_bit_value_at_its_bound_keeps_it(check):
    data = columns() | {"rain": np.full(ROWS, 0.1, np.float32)}
    features = CONTRACT["features"] | {"rain": {"bounds": [0, 0.1]}}
    assert check(data, contract(features=features)).quarantined == 0


HOSTILE = (
    'a "quoted" one', "it's", "semi; DROP TABLE rows; --", "naïve 温度", "select", "per%cent",
    "co:lon", "br[ack]et", "{brace}", "do$llar", "$1", "back\\slash", "dot.name", "?q", "a`tick",
    " lead", "at", "asof",
    "new\nline", '"', "%(name)s", ":bind", "<img src=http://x.test/y onerror=z()>",
    "</td><script>z()</script>", "rows",
)  # fmt: skip


def test_hostile_column_names_are_only_names(check, tmp_path):
    data = columns() | {n: [float(i) for i in range(ROWS)] for n in HOSTILE}
    data |= {"site": ["<b>\\%s'", "ok?"] * (ROWS // 2)}
    features = CONTRACT["features"] | {n: {"bounds": [0, 38]} for n in HOSTILE}
    targets = CONTRACT["targets"] | {f"{n} ": {"unit": "$K"} for n in HOSTILE}
    data |= {f"{n} ": data[n] for n in HOSTILE}
    rows = [{"check": "one_of", "column": "site", "values": ["<b>\\%s'", "ok?"]}]
    expectations = {"tolerance": 0.1, "rows": rows}
    checked = check(data, contract(features=features, targets=targets, expectations=expectations))
    assert checked.breaches == ()
    assert sorted(r.expectation for r in checked.reasons) == sorted(
        f"{n} between 0 and 38" for n in HOSTILE
    )
    assert {r.examples[0].split(" at ")[0] for r in checked.reasons} == {"39.0"}
    page = (tmp_path / "out/data_docs/index.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page


def test_a_name_with_hostile_parts_may_be_the_key(check):
    data = columns()
    key = ['si"te', "ho'ur; --"]
    data = {dict(zip(("site", "hour"), key, strict=True)).get(c, c): v for c, v in data.items()}
    features = {c: CONTRACT["features"][c] for c in ("temp", "wind", "rain")}
    by = contract(key=key, time=key[1], features=features)
    data[key[0]][:2] = ["a?", "a?"]
    assert 'si"te=a?' in only_breach(check(data, by))


def test_data_docs_are_one_page_that_fetches_and_runs_nothing(check, tmp_path):
    check(replaced("wind", 5, 1048.36))
    folder = tmp_path / "out/data_docs"
    assert [f.name for f in folder.rglob("*")] == ["index.html"]
    page = (folder / "index.html").read_text()
    assert "1048.36 at site=b" in page
    assert "1 unexpected values found" in page
    assert "default-src 'none'" in page
    for sign in ("<script", "<link", "<img", "http://", "https://", "url(", "@import", " onclick"):
        assert sign not in page
    assert all(address.startswith("#") for address in re.findall(r'href="([^"]*)"', page))


def test_data_docs_open_with_what_stops_the_run(check, tmp_path):
    data = columns()
    data["te<mp"] = data.pop("temp")
    checked = check(data)
    page = (tmp_path / "out/data_docs/index.html").read_text()
    assert "small breaks its contract" in page
    assert "temp: expected a number, came no such column; did you mean" in page
    assert "te&lt;mp" in page
    assert checked.breaches


def test_data_docs_say_what_only_warns(check, tmp_path):
    table = [{"check": "row_count", "min": 1_000_000, "severity": "warn"}]
    checked = check(columns(), contract(expectations={"table": table}))
    page = (tmp_path / "out/data_docs/index.html").read_text()
    assert "small keeps its contract" in page
    assert f"warning: {checked.warnings[0]}" in page


def test_validation_json_says_of_each_expectation_what_came(check, tmp_path):
    checked = check(replaced("wind", 5, float("inf")))
    found = json.loads((tmp_path / "out/validation.json").read_text())
    assert (found["success"], found["rows"], found["quarantined"]) == (True, ROWS, 1)
    assert len(found["expectations"]) == checked.expectations
    (wind,) = [e for e in found["expectations"] if e["words"] == "wind between 0 and 90 m/s"]
    assert (wind["severity"], wind["success"], wind["unexpected"]) == ("quarantine", False, 1)
    assert wind["examples"] == ["inf at site=b, hour=2020-01-01 02:00:00+00:00"]


def test_the_same_rows_leave_the_same_files(check, tmp_path):
    check(replaced("wind", 5, 1048.36))
    first = {f.name: f.read_bytes() for f in (tmp_path / "out").rglob("*") if f.is_file()}
    (tmp_path / "out").rename(tmp_path / "before")
    check(replaced("wind", 5, 1048.36))
    again = {f.name: f.read_bytes() for f in (tmp_path / "out").rglob("*") if f.is_file()}
    assert [n for n in first if first[n] != again[n]] == []


SCRIPT = """
import sys
from pathlib import Path
from data_contracts.contract import Contract
from tasks.records import Snapshot
from tasks.validate.checking import check_rows
rows, folder = map(Path, sys.argv[1:3])
contract = Contract.model_validate_json(sys.argv[3])
folder.mkdir()
check_rows(contract, Snapshot(rows=40, columns={}, source=""), rows, folder)
"""


def test_a_check_says_nothing_and_writes_nothing_elsewhere(check, tmp_path):
    check(replaced("wind", 5, 1048.36))
    home = tmp_path / "home"
    home.mkdir()
    folder = tmp_path / "a $HOME %41 'b'"
    folder.mkdir()
    (tmp_path / "rows.parquet").rename(folder / "rows.parquet")
    files = [str(folder / "rows.parquet"), str(folder / "out")]
    arguments = [*files, contract().model_dump_json()]
    kept = {"PYTHONPATH": os.pathsep.join(sys.path)}
    places = {k: str(home) for k in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "PREFECT_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=home, env=os.environ | kept | places, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    assert list(home.rglob("*")) == []


def test_planning_a_check_imports_no_library():
    code = "import sys, tasks.validate, tasks.validate.checking; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "'great_expectations'" not in done.stdout
    assert "'duckdb'" not in done.stdout
