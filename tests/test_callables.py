"""A source that a package brings by an entry point: a file, or rows that it makes."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import DataError
from tasks.ingest import locate, take_snapshot
from tests.builders import small_contract
from tests.test_brought_architecture import installed

CODE = """
import pyarrow as pa
from tasks.sources.callables import Made

def file(path):
    return path

def made(count=3):
    table = pa.table({"id": range(count), "x": [float(i) for i in range(count)]})
    return Made(str(count), lambda: table.to_reader())

def nothing():
    return None

def broken():
    return {}["plant"]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = ("file", "made", "nothing", "broken")
    lines = "\n".join(f"plant_{name} = plant_rows.rows:{name}" for name in names)
    installed(tmp_path / "packages", "plant_rows", {"polycast.sources": lines}, rows=CODE)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    (tmp_path / "out").mkdir()
    return tmp_path


def rows(folder: Path, name: str, **options: Any) -> pa.Table:
    contract = small_contract(source={"kind": "python", "name": name, "options": options})
    take_snapshot(contract, locate(contract), folder / "out")
    return pq.read_table(folder / "out" / "rows.parquet").drop_columns("_row")


def test_rows_come_from_the_file_that_it_names(package: Path) -> None:
    (package / "plant.csv").write_text("id,x\n2,0.5\n1,\n", "utf-8")
    found = rows(package, "plant_file", path=str(package / "plant.csv"))
    assert found.to_pydict() == {"id": [1, 2], "x": [None, 0.5]}


def test_rows_that_it_makes_are_told_apart_by_its_options(package: Path) -> None:
    assert rows(package, "plant_made", count=5)["id"].to_pylist() == [0, 1, 2, 3, 4]
    one, other, same = (
        locate(small_contract(source={"kind": "python", "name": "plant_made", "options": o}))
        for o in ({"count": 5}, {"count": 6}, {"count": 5})
    )
    assert one.identity() == same.identity() != other.identity()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("plant_mad", {}, "no source is registered as 'plant_mad'.*plant_made"),
        ("plant_made", {"rows": 3}, "source.options do not fit plant_made: .*'rows'"),
        ("plant_nothing", {}, "expected the path of a file or a Made, came NoneType"),
        ("plant_broken", {}, "the source plant_broken cannot be read: KeyError: 'plant'"),
        ("plant_file", {"path": "nowhere.csv"}, "is missing: no file at nowhere.csv"),
    ],
)
def test_what_does_not_work_is_told(
    package: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        rows(package, name, **options)
