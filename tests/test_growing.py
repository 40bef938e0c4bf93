"""A source that grows: the snapshot is the one that reading all of it would give, to the byte."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import load_contract
from tasks.errors import DataError
from tasks.growing import FOLDER, kept, remember
from tasks.ingest import STAGE, find, locate, take_snapshot
from tasks.records import Snapshot
from tasks.stage import code_digest
from tasks.storage import root_storage
from tests.builders import small_contract
from tests.walk import write_contract

QUERY = """
SELECT now.*, back.x AS x_before, ahead.x AS x_ahead FROM source AS now
LEFT JOIN source AS back ON back.id = now.id - 3
LEFT JOIN source AS ahead ON ahead.id = now.id + 3
"""
CODE = code_digest("tasks.ingest")


def contract_of(file: Path, **source: Any) -> Contract:
    return small_contract(source={"kind": "parquet", "path": str(file), "query": QUERY, **source})


def write(file: Path, count: int, start: int = 0, every: int = 1000) -> None:
    """Write one row an hour, one of `every` without a time; values hang on `start` too."""
    ids = np.arange(count)
    hours = np.datetime64("2024-01-01T00", "us") + ids * np.timedelta64(1, "h")
    times = pa.array(hours, mask=ids % every == every - 1)
    pq.write_table(pa.table({"id": ids, "time": times, "x": np.sin(ids + start)}), file)


def ingested(contract: Contract) -> Snapshot:
    """Take the snapshot as the stage does."""
    source = locate(contract)
    last = kept(contract, CODE)
    snapshot = STAGE.run(
        contract,
        source.identity(),
        work=lambda folder: take_snapshot(contract, source, folder, last),
    )
    remember(contract, CODE, snapshot.place)
    return snapshot


def content(snapshot: Snapshot) -> bytes:
    return (root_storage().fetch(snapshot.place) / "rows.parquet").read_bytes()


def test_a_grown_source_gives_the_snapshot_that_reading_all_would(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = contract_of(file, incremental="3h")
    for count in (100, 130, 131, 200):
        write(file, count)
        whole = ingested(contract_of(file))
        grown = ingested(contract)
        assert content(grown) == content(whole), count
        assert find(contract) == grown


def test_rows_without_a_time_stay(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = contract_of(file, incremental="3h")
    for count in (100, 130):
        write(file, count, every=50)
        rows = pq.read_table(root_storage().fetch(ingested(contract).place) / "rows.parquet")
        assert rows["id"].to_pylist() == list(range(count))


def test_older_rows_are_taken_from_the_last_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "polycast")
    file = tmp_path / "rows.parquet"
    contract = contract_of(file, incremental="3h")
    write(file, 100)
    ingested(contract)
    assert "last time" not in caplog.text
    write(file, 130, start=1)
    rows = pq.read_table(root_storage().fetch(ingested(contract).place) / "rows.parquet")
    x = dict(zip(rows["id"].to_pylist(), rows["x"].to_pylist(), strict=True))
    assert x[95] == np.sin(95.0)
    assert x[96] == np.sin(97.0)
    assert len(x) == 130
    assert (
        "130 rows now, 100 last time: rows before 2024-01-05 00:00:00 UTC stay as they were, the "
        "source was read from 2024-01-04 21:00:00 UTC on"
    ) in caplog.text


def test_after_the_last_snapshot_is_forgotten_all_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = contract_of(file, incremental="3h")
    write(file, 100)
    root_storage().forget(ingested(contract).place)
    write(file, 130, start=1)
    assert content(ingested(contract)) == content(ingested(contract_of(file)))


def test_a_query_that_changed_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write(file, 100)
    ingested(contract_of(file, incremental="3h"))
    other = contract_of(file, incremental="3h", query="SELECT *, 2 * x AS y FROM source")
    assert kept(other, CODE) is None
    assert kept(other.model_copy(update={"dataset": "other"}), CODE) is None
    assert root_storage().places(FOLDER) == [f"{FOLDER}/small"]


def test_a_column_of_another_type_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    contract = contract_of(file, incremental="3h", query=None)
    write(file, 100)
    ingested(contract)
    write(file, 130)
    rows = pq.read_table(file)
    pq.write_table(rows.set_column(2, "x", rows["x"].cast(pa.float32())), file)
    assert ingested(contract).columns["x"] == "float"


@pytest.mark.parametrize("incremental", [None, "3h"])
def test_a_window_keeps_the_rows_before_the_newest(tmp_path: Path, incremental: str | None) -> None:
    file = tmp_path / "rows.parquet"
    more = {"incremental": incremental} if incremental else {}
    contract = contract_of(file, window="1d", **more)
    for count in (100, 130):
        write(file, count)
        rows = pq.read_table(root_storage().fetch(ingested(contract).place) / "rows.parquet")
        last = count - 1
        assert rows["id"].to_pylist() == list(range(last - 24, count))


@pytest.mark.parametrize("asks", ["window", "incremental"])
def test_a_time_that_is_text_is_told(asks: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write(file, 10)
    query = "SELECT * REPLACE (time::VARCHAR AS time) FROM source"
    contract = contract_of(file, query=query, **{asks: "1d"})
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=rf"source\.{asks} needs small's time column .*VARCHAR"):
        take_snapshot(contract, locate(contract), tmp_path / "out")


@pytest.mark.parametrize("asks", ["window", "incremental"])
def test_a_contract_without_a_time_column_cannot_ask_for_it(asks: str, tmp_path: Path) -> None:
    file = write_contract(tmp_path)
    text = file.read_text("utf-8").replace("time: time_hour\n", "", 1)
    file.write_text(text.replace("source:\n", f"source:\n  {asks}: 90d\n", 1), "utf-8")
    with pytest.raises(ContractError, match=f"source.{asks}"):
        load_contract(str(file))
