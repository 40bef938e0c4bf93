"""Ingest: every way a source can be wrong is told; rows come sorted, numbered and repeatable."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.errors import DataError
from tasks.ingest import locate, take_snapshot
from tasks.storage import file_digest
from tests.builders import small_contract, small_rows


def contract_of(file: Path, query: str | None = None, kind: str = "parquet") -> Contract:
    source = {"kind": kind, "path": str(file)} | ({"query": query} if query else {})
    return small_contract(source=source)


def written(folder: Path, rows: pa.Table | None = None) -> Path:
    file = folder / "source.parquet"
    pq.write_table(small_rows().drop_columns("_row") if rows is None else rows, file)
    return file


def snapshot(contract: Contract, folder: Path) -> pa.Table:
    folder.mkdir(exist_ok=True)
    take_snapshot(contract, locate(contract), folder)
    return pq.read_table(folder / "rows.parquet")


def test_duckdb_draws_no_bars_in_a_process_without_a_script() -> None:
    code = (
        "from tasks.database import connect\n"
        "print(connect([]).sql(\"SELECT current_setting('enable_progress_bar')\").fetchall())"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[(False,)]\n"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is missing: no file at .*nowhere\.parquet"):
        locate(contract_of(tmp_path / "nowhere.parquet"))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").touch()
    with pytest.raises(DataError, match=r"is empty: .*has no bytes"):
        locate(contract_of(tmp_path / "empty.parquet"))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_parquet_file_that_is_cut_is_unreadable(tmp_path: Path, keep: float) -> None:
    file = written(tmp_path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    with pytest.raises(DataError, match="cannot be read"):
        snapshot(contract_of(file), tmp_path / "out")


def test_bytes_that_are_no_csv_are_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(DataError, match="cannot be read"):
        snapshot(contract_of(file, kind="csv"), tmp_path / "out")


def test_a_csv_reads_its_texts_for_missing(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,x\n1,2.5\n2,NA\n3,\n", "utf-8")
    rows = snapshot(contract_of(file, kind="csv"), tmp_path / "out")
    assert rows["x"].to_pylist() == [2.5, None, None]


def test_a_renamed_column_is_told_with_what_the_source_has(tmp_path: Path) -> None:
    file = written(tmp_path)
    with pytest.raises(DataError, match="does not fit") as error:
        snapshot(contract_of(file, "SELECT id, xx FROM source"), tmp_path / "out")
    assert '"angle"' in str(error.value)
    assert "rename the column in source.query" in str(error.value)


def test_a_query_that_is_no_sql_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not valid SQL"):
        snapshot(contract_of(written(tmp_path), "SELEKT 1"), tmp_path / "out")


@pytest.mark.parametrize("end", ["", ";", " ; \n", " -- all of them", "\n-- all\n", "/* all */"])
def test_a_query_may_end_as_sql_does(tmp_path: Path, end: str) -> None:
    contract = contract_of(written(tmp_path), "SELECT * FROM source" + end)
    assert len(snapshot(contract, tmp_path / "out")) == 200


@pytest.mark.parametrize("query", ["SELECT 1 AS id; SELECT 2 AS id", "DROP VIEW source", "; ;"])
def test_a_query_is_one_select(tmp_path: Path, query: str) -> None:
    with pytest.raises(DataError, match="not valid SQL"):
        snapshot(contract_of(written(tmp_path), query), tmp_path / "out")


@pytest.mark.parametrize("last", ["60000,much", "60000,1,2"])
def test_a_csv_that_breaks_far_down_is_told_with_its_line(tmp_path: Path, last: str) -> None:
    file = tmp_path / "rows.csv"
    lines = ["id,x", *(f"{i},{i}.5" for i in range(60_000)), last]
    file.write_text("\n".join(lines), "utf-8")
    with pytest.raises(DataError, match=r"cannot be read: .*Line: 60002"):
        snapshot(contract_of(file, kind="csv"), tmp_path / "out")


def test_a_damaged_page_is_unreadable(tmp_path: Path) -> None:
    file = written(tmp_path, small_rows(20_000).drop_columns("_row"))
    content = np.frombuffer(file.read_bytes(), np.uint8).copy()
    content[len(content) // 4 : len(content) // 2] ^= 0x5A
    file.write_bytes(content.tobytes())
    with pytest.raises(DataError, match="cannot be read"):
        snapshot(contract_of(file), tmp_path / "out")


def test_a_query_cannot_read_another_file(tmp_path: Path) -> None:
    other = tmp_path / "secret.csv"
    other.write_text("a\n1\n", "utf-8")
    query = f"SELECT * FROM read_csv('{other}')"
    with pytest.raises(DataError, match=r"disabled|not allowed|Permission"):
        snapshot(contract_of(written(tmp_path), query), tmp_path / "out")


def test_rows_come_in_order_of_the_key_and_numbered(tmp_path: Path) -> None:
    shuffled = small_rows().drop_columns("_row").take(np.random.default_rng(0).permutation(200))
    rows = snapshot(contract_of(written(tmp_path, shuffled)), tmp_path / "out")
    assert rows["id"].to_pylist() == list(range(200))
    assert rows["_row"].to_pylist() == list(range(200))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = small_rows().drop_columns("_row")
    order = np.random.default_rng(1).permutation(len(rows))
    for name, table in (("one", rows), ("two", rows.take(order))):
        (tmp_path / name).mkdir()
        snapshot(contract_of(written(tmp_path / name, table)), tmp_path / name / "out")
    one, two = ((tmp_path / n / "out" / "rows.parquet").read_bytes() for n in ("one", "two"))
    assert one == two


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2], "x": pa.array([np.nan, 1.0])})
    assert snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")["x"].null_count == 1


def test_a_source_of_no_rows_is_a_snapshot_of_no_rows(tmp_path: Path) -> None:
    rows = small_rows().drop_columns("_row").slice(0, 0)
    assert len(snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")) == 0


@pytest.mark.parametrize("name", ['a"b', "a'; DROP TABLE source; --", "größe °C", " ", "select"])
def test_a_hostile_column_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    rows = pa.table({"id": [2, 1], name: [1.0, 2.0]})
    contract = small_contract(
        source={"kind": "parquet", "path": str(written(tmp_path, rows))}, key=["id", name]
    )
    assert snapshot(contract, tmp_path / "out")[name].to_pylist() == [2.0, 1.0]


@pytest.mark.parametrize("name", ["_row", "_reasons"])
def test_a_name_that_polycast_uses_itself_is_refused(tmp_path: Path, name: str) -> None:
    rows: Any = pa.table({"id": [1], name: [1]})
    with pytest.raises(DataError, match=f"yields {name}"):
        snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")


def test_a_value_that_cannot_be_cast_is_told_with_what_to_do(tmp_path: Path) -> None:
    rows = pa.table({"id": ["1", "two"], "x": [1.0, 2.0]})
    query = "SELECT id::INTEGER AS id, x FROM source"
    with pytest.raises(DataError, match=r"cannot be converted: .*'two'.* TRY_CAST"):
        snapshot(contract_of(written(tmp_path, rows), query), tmp_path / "out")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_text('{other}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('https://example.invalid/rows.parquet')",
        "SELECT * FROM read_csv('/etc/hostname')",
    ],
)
def test_no_form_of_query_reaches_outside_its_source(tmp_path: Path, query: str) -> None:
    other = tmp_path / "secret.csv"
    other.write_text("id\n1\n", "utf-8")
    query = query.format(other=other, folder=tmp_path)
    with pytest.raises(DataError):
        snapshot(contract_of(written(tmp_path), query), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.parquet"))


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{folder}/stolen.csv'",
        "ATTACH '{folder}/stolen.csv' AS other",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_a_query_changes_and_writes_nothing(tmp_path: Path, query: str) -> None:
    with pytest.raises(DataError, match="not valid SQL"):
        snapshot(contract_of(written(tmp_path), query.format(folder=tmp_path)), tmp_path / "out")
    assert not (tmp_path / "stolen.csv").exists()


@pytest.mark.parametrize("name", ["it's $HOME.parquet", "größe 温度.parquet", "a*[b]?.parquet"])
def test_a_file_of_a_hostile_name_is_read(tmp_path: Path, name: str) -> None:
    file = written(tmp_path).rename(tmp_path / name)
    assert len(snapshot(contract_of(file), tmp_path / "out")) == 200


def test_nan_is_missing_in_narrow_floats_and_infinity_stays(tmp_path: Path) -> None:
    values = pa.array(np.array([np.nan, np.inf, -np.inf, 0.0], np.float32))
    rows = pa.table({"id": [1, 2, 3, 4], "x": values})
    found = snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")["x"]
    assert found.to_pylist() == [None, np.inf, -np.inf, 0.0]
    assert found.type == pa.float32()


def test_rows_are_numbered_on_across_batches(tmp_path: Path) -> None:
    count = 150_000
    rows = pa.table({"id": np.arange(count)[::-1]})
    found = snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")
    assert (found["_row"].to_numpy() == np.arange(count)).all()
    assert (found["id"].to_numpy() == np.arange(count)).all()


def test_rows_without_their_key_are_in_order_of_all_columns(tmp_path: Path) -> None:
    rows = pa.table({"x": [2.0, 1.0], "z": [1.0, 2.0]})
    found = snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")
    assert found["x"].to_pylist() == [1.0, 2.0]


def test_a_csv_of_a_header_alone_is_a_snapshot_of_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,x\n", "utf-8")
    rows = snapshot(contract_of(file, kind="csv"), tmp_path / "out")
    assert (len(rows), rows.column_names) == (0, ["_row", "id", "x"])


def test_a_contract_names_its_own_texts_for_missing(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,x\n1,-999\n2,it's gone\n3,4.5\n", "utf-8")
    source = {"kind": "csv", "path": str(file), "missing": ["-999", "it's gone"]}
    rows = snapshot(small_contract(source=source), tmp_path / "out")
    assert rows["x"].to_pylist() == [None, None, 4.5]


def test_times_with_a_zone_stay_the_same_moments(tmp_path: Path) -> None:
    moments = pa.array([0, 3_600_000_000], pa.timestamp("us", "America/New_York"))
    rows = pa.table({"id": [1, 2], "time": moments})
    found = snapshot(contract_of(written(tmp_path, rows)), tmp_path / "out")["time"]
    assert found.cast(pa.int64()).to_pylist() == [0, 3_600_000_000]
    assert found.type.tz == "UTC"


def test_the_record_says_rows_types_and_the_sources_hash(tmp_path: Path) -> None:
    file = written(tmp_path, pa.table({"id": [1, 2], "place": ["a", None]}))
    found = take_snapshot(contract_of(file), locate(contract_of(file)), tmp_path)
    assert (found.rows, found.columns) == (2, {"id": "int64", "place": "string"})
    assert found.source == file_digest(file)


@pytest.mark.parametrize("name", ["a*.parquet", "a[b].parquet", "a?.parquet"])
def test_a_file_named_as_a_pattern_lets_no_other_be_read(tmp_path: Path, name: str) -> None:
    # DuckDB takes such a name for a pattern, which then also fits the file beside it.
    file = written(tmp_path, pa.table({"id": [1]})).rename(tmp_path / name)
    written(tmp_path, pa.table({"id": [2]})).rename(tmp_path / "ab.parquet")
    with pytest.raises(DataError, match="cannot be read"):
        snapshot(contract_of(file), tmp_path / "out")
