"""A database that grows is asked for new rows alone, and the snapshot is that of all of them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_contracts.contract import Contract
from flows.again import forget
from tasks.errors import DataError
from tasks.ingest import find, located, snapshot_now
from tasks.records import Snapshot
from tasks.sources import opened
from tasks.storage import root_storage
from tests.builders import small_contract
from tests.topology import HOST, Postgres, needs_postgres, postgres

LAGS = """
SELECT now.* REPLACE (now.time::TIMESTAMP AS time), back.x AS x_before
FROM source AS now LEFT JOIN source AS back ON back.id = now.id - 3
"""
PLAIN = "SELECT * REPLACE (time::TIMESTAMP AS time) FROM source"
Row = tuple[int, str | None, float | None]


@dataclass
class Plant:
    """A table of one row an hour in a database."""

    database: str
    file: Path
    server: Postgres | None = None

    def write(self, rows: Sequence[Row], kind: str = "TIMESTAMP", time: str = "time") -> None:
        """Hold these rows and no others."""
        name = '"' + time.replace('"', '""') + '"'
        asks = [
            "DROP TABLE IF EXISTS hours",
            f"CREATE TABLE hours (id BIGINT, {name} {kind}, x DOUBLE PRECISION)",
            f"INSERT INTO hours VALUES {', '.join(map(_words, rows))}",
        ]
        if self.server is not None:
            for statement in asks:
                self.server.execute(statement)
            return
        opens: Any = sqlite3.connect if self.database == "sqlite" else duckdb.connect
        with closing(opens(str(self.file))) as connection:
            for statement in asks:
                connection.execute(statement)
            connection.commit()

    def contract(self, query: str | None = LAGS, **source: Any) -> Contract:
        content = {"kind": "sql", "database": self.database, "statement": "SELECT * FROM hours"}
        where = {"connection": {"env": "PLANT_DSN"}} if self.server else {"path": str(self.file)}
        asked = {"query": query} if query else {}
        time = source.pop("time", "time")
        return small_contract(source=content | where | asked | source, time=time)


def _words(row: Row) -> str:
    when = "NULL" if row[1] is None else f"'{row[1]}'"
    return f"({row[0]}, {when}, {'NULL' if row[2] is None else row[2]})"


def hours(count: int, form: str = "{day} {hour:02d}:00:00") -> list[Row]:
    return [
        (i, form.format(day=f"2024-{1 + i // 672:02d}-{1 + i // 24 % 28:02d}", hour=i % 24), i / 2)
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    pytest.importorskip("adbc_driver_postgresql")
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "duckdb", pytest.param("postgresql", marks=needs_postgres())])
def plant(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    if request.param != "postgresql":
        if request.param == "sqlite":
            pytest.importorskip("adbc_driver_sqlite")
        return Plant(request.param, tmp_path / "plant.db")
    server = request.getfixturevalue("server")
    monkeypatch.setenv("PLANT_DSN", f"postgresql://polycast@{HOST}:{server.port}/postgres")
    return Plant("postgresql", tmp_path / "none", server)


def taken(contract: Contract) -> Snapshot:
    """Take the snapshot as the stage does."""
    return snapshot_now(contract, located(contract))


def content(snapshot: Snapshot) -> bytes:
    return (root_storage().fetch(snapshot.place) / "rows.parquet").read_bytes()


def values(snapshot: Snapshot) -> dict[int, float]:
    file = root_storage().fetch(snapshot.place) / "rows.parquet"
    return dict(duckdb.sql(f"SELECT id, x FROM '{file}'").fetchall())


def read(contract: Contract, folder: Path) -> int:
    """Return how many rows the database would be asked for now."""
    folder.mkdir(exist_ok=True)
    with opened(located(contract), folder) as (database, reader):
        return int(database.execute(f"SELECT count(*) FROM {reader}").fetchall()[0][0])


def test_new_rows_alone_are_read_and_the_snapshot_is_that_of_all(
    plant: Plant, tmp_path: Path
) -> None:
    grows, whole = plant.contract(incremental="3h"), plant.contract()
    for count, new in ((400, 400), (430, 30), (431, 1), (560, 129)):
        plant.write([*hours(count), (count, None, 1.0)])
        assert read(grows, tmp_path / "read") < new + 60, count
        found = taken(grows)
        assert content(found) == content(taken(whole)), count
        assert find(grows) == found


def test_a_row_that_changes_below_the_mark_is_not_seen_until_all_is_read(plant: Plant) -> None:
    contract = plant.contract(incremental="3h")
    plant.write(hours(100))
    taken(contract)
    plant.write([(i, when, -1.0) for i, when, _ in hours(130)])
    found = values(taken(contract))
    assert found[95] == 95 / 2
    assert found[96] == -1.0
    assert len(found) == 130
    forget(contract, "ingest")
    assert set(values(taken(contract)).values()) == {-1.0}


def test_what_has_not_changed_is_up_to_date_and_a_recent_change_is_news(plant: Plant) -> None:
    contract = plant.contract(incremental="3h")
    plant.write(hours(100))
    first = taken(contract)
    assert find(contract) == first
    changed = hours(100)
    changed[98] = (98, changed[98][1], -1.0)
    plant.write(changed)
    assert find(contract) is None
    second = taken(contract)
    assert values(second)[98] == -1.0
    assert find(contract) == second


def test_a_column_without_a_value_of_late_keeps_its_type(plant: Plant) -> None:
    contract = plant.contract(incremental="3h")
    for count in (100, 130):
        # SQLite takes a column for whole numbers where no row has a value.
        plant.write([(i, when, None if i > 20 else x) for i, when, x in hours(count)])
        assert content(taken(contract)) == content(taken(plant.contract())), count


def test_a_window_is_asked_for_where_the_rows_are_the_statements(
    plant: Plant, tmp_path: Path
) -> None:
    plant.write(hours(400))
    if plant.database == "sqlite":
        # Its times are text: a query has to make them times, and may look further back.
        assert read(plant.contract(PLAIN, window="1d"), tmp_path / "read") == 400
    else:
        assert read(plant.contract(None, window="1d"), tmp_path / "read") == 25
    query = PLAIN if plant.database == "sqlite" else None
    assert sorted(values(taken(plant.contract(query, window="1d")))) == list(range(375, 400))


def test_a_hostile_name_of_the_time_is_quoted(plant: Plant, tmp_path: Path) -> None:
    name = 'ti"me) OR 1=1; DROP TABLE hours; --'
    query = f'SELECT * REPLACE ("{name.replace(chr(34), chr(34) * 2)}"::TIMESTAMP AS '
    query += f'"{name.replace(chr(34), chr(34) * 2)}") FROM source'
    contract = plant.contract(query, incremental="3h", time=name)
    for count in (100, 130):
        plant.write(hours(count), time=name)
        found = taken(contract)
    assert read(contract, tmp_path / "read") < 40
    assert len(values(found)) == 130


def test_a_statement_without_a_time_is_told(plant: Plant) -> None:
    plant.write(hours(100))
    contract = plant.contract(
        "SELECT id, x, TIMESTAMP '2024-01-01' AS time FROM source",
        statement="SELECT id, x FROM hours",
        incremental="3h",
    )
    if plant.server is None:
        taken(contract)
        plant.write(hours(110))
    with pytest.raises(DataError, match=r'needs the time column "time" .*: there is none'):
        taken(contract)


@pytest.mark.parametrize(
    "form",
    ["{day}T{hour:02d}:00:00Z", "{day} {hour:02d}:00", "{day}T{hour:02d}:00:00.000-11:00"],
)
def test_sqlite_grows_in_each_form_of_its_times(form: str, tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    plant = Plant("sqlite", tmp_path / "plant.db")
    query = "SELECT * REPLACE (timezone('UTC', time::TIMESTAMPTZ) AS time) FROM source"
    grows, whole = plant.contract(query, incremental="3h"), plant.contract(query)
    for count in (400, 430):
        plant.write(hours(count, form), "TEXT")
        found = taken(grows)
        assert content(found) == content(taken(whole))
    assert read(grows, tmp_path / "read") < 75


def test_sqlite_times_that_are_numbers_are_all_read(tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    plant = Plant("sqlite", tmp_path / "plant.db")
    query = "SELECT * REPLACE (make_timestamp(time * 1000000) AS time) FROM source"
    contract = plant.contract(query, incremental="3h")
    for count in (100, 130):
        plant.write([(i, str(1_700_000_000 + 3600 * i), i / 2) for i in range(count)], "BIGINT")
        assert len(values(taken(contract))) == count
    assert read(contract, tmp_path / "read") == 130


@needs_postgres()
@pytest.mark.parametrize("kind", ["TIMESTAMPTZ", "DATE"])
def test_postgresql_is_asked_in_the_type_of_its_times(
    kind: str, server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DSN", f"postgresql://polycast@{HOST}:{server.port}/postgres")
    monkeypatch.setenv("PGTZ", "America/New_York")
    plant = Plant("postgresql", tmp_path, server)
    grows, whole = plant.contract(None, incremental="3h"), plant.contract(None)
    form = "{day} {hour:02d}:00:00+00" if kind == "TIMESTAMPTZ" else "{day}"
    for count in (400, 430):
        plant.write(hours(count, form), kind)
        found = taken(grows)
        assert content(found) == content(taken(whole))
        assert find(grows) == found
    assert read(grows, tmp_path / "read") < 75


@needs_postgres()
def test_postgresql_times_that_are_text_are_told(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DSN", f"postgresql://polycast@{HOST}:{server.port}/postgres")
    plant = Plant("postgresql", tmp_path, server)
    plant.write(hours(50), "TEXT")
    with pytest.raises(DataError, match=r"date in source\.statement: it comes as string"):
        taken(plant.contract(incremental="3h"))
