"""As of a day: no value that was observed on it or later reaches the snapshot."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import load_contract
from tasks import ingest
from tasks.contracts import read_contract, store_contract
from tasks.database import connect
from tasks.errors import DataError
from tasks.sources import nyc_weather
from tests.builders import replaced, small_contract, small_rows
from tests.walk import write_contract

DAY = "2013-06-01"
"""Rows of nyc_weather from this day on must not be seen."""


def snapshot(contract: Contract, folder: Path) -> pa.Table:
    folder.mkdir(exist_ok=True, parents=True)
    ingest.take_snapshot(contract, ingest.locate(contract), folder)
    return pq.read_table(folder / "rows.parquet")


def weather(folder: Path, change: str) -> Path:
    """Write nyc_weather's source as `change`, SQL over the table `weather`, makes it."""
    folder.mkdir(exist_ok=True, parents=True)
    file = folder / "weather.parquet"
    with connect([nyc_weather()]) as database:
        read = f"read_csv('{nyc_weather()}', nullstr = ['', 'NA'], header = true)"
        database.execute(f"CREATE VIEW weather AS SELECT * FROM {read}")
        pq.write_table(database.sql(change).to_arrow_table(), file)
    return file


def weather_contract(file: Path, *overrides: str) -> Contract:
    """Return nyc_weather's contract, with its own query, over another file."""
    contract = load_contract("nyc_weather", overrides)
    source = contract.source.model_dump(exclude={"kind", "name", "options"})
    content = contract.model_dump() | {"source": source | {"kind": "parquet", "path": str(file)}}
    return Contract.model_validate(content)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of a source that ends before the day, as a run in those days took it."""
    folder = tmp_path_factory.mktemp("before")
    file = weather(folder, f"FROM weather WHERE time_hour < TIMESTAMPTZ '{DAY} 00:00:00+00'")
    snapshot(weather_contract(file), folder)
    return folder / "rows.parquet"


def test_a_snapshot_as_of_a_day_is_the_one_that_a_run_took_that_morning(
    before: Path, tmp_path: Path
) -> None:
    # Byte for byte: what the query looks ahead to is as missing as it was then.
    snapshot(load_contract("nyc_weather", [f"source.as_of={DAY}"]), tmp_path)
    assert (tmp_path / "rows.parquet").read_bytes() == before.read_bytes()


def test_no_value_observed_on_the_day_or_later_is_in_the_snapshot(
    before: Path, tmp_path: Path
) -> None:
    poison = ", ".join(
        f"CASE WHEN time_hour < TIMESTAMPTZ '{DAY} 00:00:00+00' THEN {c} ELSE -777 END AS {c}"
        for c in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure", "visib")
    )
    file = weather(tmp_path, f"SELECT * REPLACE ({poison}) FROM weather")
    told = snapshot(weather_contract(file, f"source.as_of={DAY}"), tmp_path)
    assert told.drop_columns("_row").equals(pq.read_table(before).drop_columns("_row"))
    whole = snapshot(weather_contract(file), tmp_path / "whole")
    assert pc.any(pc.equal(whole["temp_ahead"], -777)).as_py()


def test_targets_that_lie_past_the_day_are_missing_and_their_rows_stay(before: Path) -> None:
    rows = pq.read_table(before)
    last = pc.max(rows["time_hour"]).as_py()
    assert last == datetime(2013, 5, 31, 23, tzinfo=UTC)
    edge = rows.filter(pc.greater_equal(rows["time_hour"], pa.scalar(last.replace(hour=21))))
    assert len(edge) == 9
    assert edge["temp_ahead"].null_count == 9
    assert edge["temp"].null_count == 0


def contract_of(folder: Path, rows: pa.Table, as_of: str, **changes: Any) -> Contract:
    """Return a contract over `rows`; `query` is the source's."""
    file = folder / "source.parquet"
    pq.write_table(rows, file)
    source = {"kind": "parquet", "path": str(file), "query": changes.pop("query", None)}
    return small_contract(source=source | {"as_of": as_of}, **changes)


BY_TIME = {"kind": "time", "gap": "6h"}
ROWS = small_rows().drop_columns("_row")
"""200 hours from 2024-01-01."""


def test_rows_with_their_targets_ready_made_keep_the_gap_from_the_day(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, ROWS, "2024-01-03", split=BY_TIME)
    assert len(snapshot(contract, tmp_path)) == 48 - 6


def test_rows_of_a_query_that_makes_the_targets_come_up_to_the_day(tmp_path: Path) -> None:
    rows = ROWS.rename_columns({"a": "a_now", "b": "b_now"})
    query = "SELECT *, lead(a_now, 3) OVER (ORDER BY id) AS a, b_now AS b FROM source"
    contract = contract_of(tmp_path, rows, "2024-01-03", split=BY_TIME, query=query)
    found = snapshot(contract, tmp_path)
    assert len(found) == 48
    assert found["a"].to_pylist()[-3:] == [None] * 3
    assert found["a"].to_pylist()[:45] == found["a_now"].to_pylist()[3:]


def test_a_source_whose_time_the_query_makes_keeps_the_gap_from_the_day(tmp_path: Path) -> None:
    rows = ROWS.rename_columns({"a": "a_now", "b": "b_now", "time": "noted"})
    query = "SELECT *, noted AS time, a_now AS a, b_now AS b FROM source"
    contract = contract_of(tmp_path, rows, "2024-01-03", split=BY_TIME, query=query)
    assert len(snapshot(contract, tmp_path)) == 48 - 6


def test_a_time_that_the_query_moves_is_cut_as_the_query_has_it(tmp_path: Path) -> None:
    query = "SELECT * REPLACE (time + INTERVAL 5 HOUR AS time) FROM source"
    contract = contract_of(tmp_path, ROWS, "2024-01-03", query=query)
    assert len(snapshot(contract, tmp_path)) == 48 - 5


def test_a_split_without_a_gap_cuts_at_the_day(tmp_path: Path) -> None:
    assert len(snapshot(contract_of(tmp_path, ROWS, "2024-01-03"), tmp_path)) == 48


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("ms"),
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.timestamp("us", "UTC"),
        pa.timestamp("us", "America/New_York"),
    ],
    ids=str,
)
def test_every_kind_of_time_is_cut_at_the_same_moment(tmp_path: Path, kind: pa.DataType) -> None:
    rows = replaced(ROWS, "time", ROWS["time"].cast(kind))
    assert len(snapshot(contract_of(tmp_path, rows, "2024-01-03"), tmp_path)) == 48


@pytest.mark.parametrize("as_of", ["2024-01-03", "2024-01-03T13:00"])
def test_a_row_that_has_a_date_alone_is_known_when_its_day_is_over(
    tmp_path: Path, as_of: str
) -> None:
    rows = replaced(ROWS, "time", pc.floor_temporal(ROWS["time"], unit="day").cast(pa.date32()))
    assert len(snapshot(contract_of(tmp_path, rows, as_of), tmp_path)) == 48


@pytest.mark.parametrize(
    ("as_of", "hours"),
    [
        ("2024-01-02", 24),
        ("2024-01-02T06:00", 30),
        ("2024-01-02T06:00:00Z", 30),
        ("2024-01-02T06:30+02:00", 29),
        ("0001-01-02", None),
    ],
)
def test_a_moment_is_a_moment_in_utc(tmp_path: Path, as_of: str, hours: int | None) -> None:
    contract = contract_of(tmp_path, ROWS, as_of)
    if hours is not None:
        assert len(snapshot(contract, tmp_path)) == hours
        return
    with pytest.raises(DataError, match="has no row before 0001-01-02"):
        snapshot(contract, tmp_path)


def test_a_gap_that_reaches_before_all_time_leaves_no_row(tmp_path: Path) -> None:
    split = {"kind": "time", "gap": "999999999d"}
    with pytest.raises(DataError, match=r"split\.gap before 2024-01-03"):
        snapshot(contract_of(tmp_path, ROWS, "2024-01-03", split=split), tmp_path)


def test_rows_without_a_time_are_left_out(tmp_path: Path) -> None:
    times = [None if i % 10 == 0 else t for i, t in enumerate(ROWS["time"].to_pylist())]
    rows = replaced(ROWS, "time", pa.array(times, pa.timestamp("us")))
    found = snapshot(contract_of(tmp_path, rows, "2024-01-03"), tmp_path)
    assert (len(found), found["time"].null_count) == (43, 0)


def test_a_day_before_all_rows_is_told_with_from_when_to_when_they_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="small has no row before 2023-12-31") as error:
        snapshot(contract_of(tmp_path, ROWS, "2023-12-31"), tmp_path)
    assert "from 2024-01-01 00:00:00 to 2024-01-09 07:00:00" in str(error.value)
    assert "Choose a later source.as_of" in str(error.value)


def test_a_source_of_no_rows_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it has no rows with a time"):
        snapshot(contract_of(tmp_path, ROWS.slice(0, 0), "2024-01-03"), tmp_path)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * REPLACE (time::VARCHAR AS time) FROM source", 'and "time" comes as VARCHAR'),
        ("SELECT * EXCLUDE (time) FROM source", 'and there is no column "time"'),
    ],
)
def test_a_time_that_is_no_time_is_told_with_the_mend(
    tmp_path: Path, query: str, said: str
) -> None:
    with pytest.raises(DataError, match="expected a timestamp or a date") as error:
        snapshot(contract_of(tmp_path, ROWS, "2024-01-03", query=query), tmp_path)
    assert said in str(error.value)
    assert 'cast it in source.query: "time"::TIMESTAMP' in str(error.value)


def refusal(folder: Path, *overrides: str, **changes: Any) -> str:
    file = write_contract(folder, **changes)
    with pytest.raises(ContractError) as caught:
        load_contract(str(file), overrides)
    return str(caught.value)


def test_a_contract_without_a_time_column_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "source.as_of=2013-02-15", time=None, split={"kind": "random"})
    assert "--set source.as_of=2013-02-15: source.as_of" in said
    assert "expected nothing, since the contract names no time column" in said
    assert "name the column that says when a row was observed: time: COLUMN" in said


@pytest.mark.parametrize("value", ["yesterday", "'2013-02-30'", "20130", "true", "[2013-02-15]"])
def test_what_is_no_day_is_refused_with_one_that_is(tmp_path: Path, value: str) -> None:
    said = refusal(tmp_path, f"source.as_of={value}")
    assert "expected a day such as 2013-06-01, or a moment such as 2013-06-01T12:00:00Z" in said


@pytest.mark.parametrize(
    "text", ["2013-02-15", "'2013-02-15'", "2013-02-15 00:00:00", "2013-02-15T01:00+01:00"]
)
def test_a_day_may_be_written_as_yaml_or_as_text(tmp_path: Path, text: str) -> None:
    contract = load_contract(str(write_contract(tmp_path)), [f"source.as_of={text}"])
    assert contract.source.as_of == datetime(2013, 2, 15, tzinfo=UTC)
    assert read_contract(store_contract(contract)) == contract
