"""Whatever a file holds, it is read right or refused in words: no traceback, no other error, and
nothing that is half written is found afterwards."""

import gzip
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.database import literal, quoted
from tasks.errors import DataError
from tasks.ingest import STAGE, find, locate, take_snapshot
from tasks.records import Snapshot
from tests.builders import small_contract, small_rows
from tests.walk import polycast, write_contract

HOSTILE = (
    'a"; DROP TABLE source; --',
    "a'); ATTACH 'x.db' AS y; --",
    "${HOME}",
    "größe °C 温度 🌧",
    "\u202egnp",
    "a.b[0]",
    "SELECT",
    "line\nbreak",
    "\\",
)


def contract_of(file: Path | str, kind: str = "parquet", **changes: Any) -> Contract:
    return small_contract(source={"kind": kind, "path": str(file), **changes})


def taken(contract: Contract) -> Snapshot:
    """Take a snapshot as the stage does."""
    source = locate(contract)
    return STAGE.run(
        contract,
        source.identity(),
        work=lambda folder: take_snapshot(contract, source, folder),
    )


def read_or_refused(contract: Contract) -> bool:
    """Whether the source was read. Nothing is found afterwards where it was not."""
    before = kept_files()
    try:
        snapshot = taken(contract)
    except DataError as error:
        words = str(error)
    else:
        assert find(contract) == snapshot
        return True
    assert 0 < len(words) < 3_000
    assert "Traceback" not in words
    assert kept_files() == before
    return False


def kept_files() -> set[Path]:
    """Return the rows that are kept, whole or not."""
    return set(Path(os.environ["POLYCAST_HOME"]).rglob("*.parquet"))


WRITERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "parquet": pq.write_table,
    "feather": lambda rows, file: pyarrow.feather.write_feather(rows, str(file)),
    "csv": lambda rows, file: rows.to_pandas().to_csv(file, index=False),
}


def write_grid(rows: pa.Table, file: Path) -> None:
    import xarray as xr

    columns = {n: (("id",), rows[n].to_numpy(zero_copy_only=False)) for n in ("x", "z")}
    xr.Dataset(columns).to_netcdf(file, engine="netcdf4")


@pytest.fixture(params=[*WRITERS, "netcdf"])
def good(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A whole file, by its kind."""
    write = WRITERS.get(request.param, write_grid)
    write(small_rows(300).drop_columns("_row"), tmp_path / "rows")
    return request.param, tmp_path / "rows"


def test_a_file_that_is_cut_anywhere_is_read_or_refused(good: tuple[str, Path]) -> None:
    kind, file = good
    content = file.read_bytes()
    for share in (0.0, 0.001, 0.2, 0.5, 0.9, 0.999):
        file.write_bytes(content[: int(len(content) * share)])
        read = read_or_refused(contract_of(file, kind))
        assert not read or kind in ("csv", "netcdf")


def test_a_file_with_flipped_bits_is_read_or_refused(good: tuple[str, Path]) -> None:
    kind, file = good
    content = np.frombuffer(file.read_bytes(), np.uint8)
    draw = np.random.default_rng(7)
    for _ in range(12):
        flipped = content.copy()
        places = draw.integers(0, len(content), 3)
        flipped[places] ^= np.uint8(1) << draw.integers(0, 8, 3).astype(np.uint8)
        file.write_bytes(flipped.tobytes())
        read_or_refused(contract_of(file, kind))


@pytest.mark.parametrize("kind", ["parquet", "feather", "netcdf", "zarr", "csv"])
def test_a_file_of_another_kind_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    assert not read_or_refused(contract_of(tmp_path / "rows", kind))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,x\n" + b"1,2\n" * 30_000 + b"1,2,3\n", "Line: 30002"),
        (b"id,x\n1,2\n3,4,5\n6,7\n", "line 3: expected 2 cells as in the header, came 3"),
        (b"id;x\r\n1;2\r\n\r\n3\r\n6;7\r\n", "line 4: expected 2 cells as in the header, came 1"),
        (b"id,x\n1,caf\xe9\n2,b\n", "utf-8"),
    ],
)
def test_a_csv_that_is_none_is_refused_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read") as error:
        taken(contract_of(tmp_path / "rows.csv", "csv"))
    assert words in str(error.value)
    assert "ignore_errors" not in str(error.value), "an option that no contract has"


def test_a_ragged_csv_among_packed_others_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.csv.gz").write_bytes(gzip.compress(b'id,"x, dry"\n1,2\n'))
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"id,x\n1,2\n3\n4,5\n"))
    with pytest.raises(DataError, match=r"b\.csv\.gz cannot be read: line 3: expected 2 cells"):
        taken(contract_of(folder, "csv"))


@pytest.mark.parametrize(
    "content",
    [
        "id,x\n1,é\n".encode("utf-16"),
        b'id,x\n1,"never closed\n2,3\n',
        b"\n\n\n",
        b"id,id\n1,2\n",
        b"\xef\xbb\xbfid,x\r\n1,2\r\n",
    ],
)
def test_a_csv_that_is_odd_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    read_or_refused(contract_of(tmp_path / "rows.csv", "csv"))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1.0, 2.0], [], None]),
        pa.array([{"a": 1}, None, {"a": 2}]),
        pa.array([Decimal("1.5"), Decimal("99999999.25"), None], pa.decimal128(20, 2)),
        pa.array([b"\x00", b"\xff", None]),
        pa.array([1, 2, None], pa.timestamp("s")),
        pa.array([1, 2, None], pa.timestamp("ns", "Asia/Kolkata")),
        pa.array([1, 2, None], pa.date32()),
        pa.array([1, 2, None], pa.duration("ms")),
        pa.array([1, 2, None], pa.time64("us")),
        pa.array([1.0, 2.0, None], pa.float16()),
        pa.array([True, False, None]),
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.nulls(3),
        pa.array([2**64 - 1, 0, None], pa.uint64()),
    ],
    ids=lambda values: str(values.type),
)
@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_a_column_of_any_type_is_read_or_refused(kind: str, values: Any, tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2, 3], "x": values})
    WRITERS[kind](rows, tmp_path / "rows")
    read_or_refused(contract_of(tmp_path / "rows", kind))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row_are_rows(kind: str, count: int, tmp_path: Path) -> None:
    WRITERS[kind](pa.table({"id": [1], "x": [0.5]}).slice(0, count), tmp_path / "rows")
    assert taken(contract_of(tmp_path / "rows", kind)).rows == count


def test_ten_thousand_columns_are_read(tmp_path: Path) -> None:
    rows = pa.table({"id": [2, 1]} | {f"x_{i}": [0.5, 1.5] for i in range(10_000)})
    pq.write_table(rows, tmp_path / "rows")
    assert len(taken(contract_of(tmp_path / "rows")).columns) == 10_001


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", WRITERS)
def test_a_hostile_column_is_a_column(kind: str, name: str, tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2], name: [0.5, 1.5]})
    WRITERS[kind](rows, tmp_path / "rows")
    query = f"SELECT *, 2 * {quoted(name)} AS twice FROM source"
    found = taken(contract_of(tmp_path / "rows", kind, query=query))
    assert set(found.columns) == {"id", name, "twice"}


@pytest.mark.parametrize("name", [n.replace("\n", " ") for n in HOSTILE])
@pytest.mark.parametrize("kind", [*WRITERS, "netcdf"])
def test_a_hostile_path_is_a_path(kind: str, name: str, tmp_path: Path) -> None:
    if kind == "netcdf" and name == "\\":
        pytest.skip("netCDF itself writes no such file")
    below = tmp_path / name.replace("/", "_")
    below.mkdir()
    file = below / f"{name.replace('/', '_')}.{'nc' if kind == 'netcdf' else kind}"
    WRITERS.get(kind, write_grid)(small_rows(20).drop_columns("_row"), file)
    for path in (file, below):
        assert taken(contract_of(path, kind)).rows == 20
    assert literal("a'b") == "'a''b'"


def test_names_that_differ_in_case_alone_are_refused_or_read(tmp_path: Path) -> None:
    rows = pa.table({"id": [1], "X": [1.0], "x": [2.0]})
    for kind in ("parquet", "feather"):
        WRITERS[kind](rows, tmp_path / "rows")
        read_or_refused(contract_of(tmp_path / "rows", kind))


def test_what_a_read_left_half_done_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    pq.write_table(small_rows(200_000).drop_columns("_row"), file, row_group_size=20_000)
    content = np.frombuffer(file.read_bytes(), np.uint8).copy()
    content[len(content) // 2 : len(content) * 3 // 4] ^= 0x5A
    file.write_bytes(content.tobytes())
    assert not read_or_refused(contract_of(file))


def test_the_command_ends_with_code_4_and_words(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 no more")
    source = {"kind": "parquet", "path": "../rows.parquet"}
    write_contract(tmp_path, source=source)
    result = polycast(tmp_path, "check", "nyc_slice")
    assert result.returncode == 4, result.stdout + result.stderr
    assert "cannot be read" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
