"""Every kind of source yields the same rows, here and at an address, and memory stays flat."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.errors import DataError
from tasks.ingest import STAGE, find, locate, take_snapshot
from tasks.passing import passes
from tests.builders import small_contract
from tests.objects import object_storage

ROWS = pa.table({"id": [1, 2, 3, 4], "x": [0.5, None, -2.0, 1e300], "place": ["a", "ü", None, "b"]})


def contract_of(**source: Any) -> Contract:
    return small_contract(source=source)


def snapshot(contract: Contract, folder: Path) -> pa.Table:
    folder.mkdir(exist_ok=True)
    take_snapshot(contract, locate(contract), folder)
    assert [f.name for f in folder.iterdir()] == ["rows.parquet"]
    return pq.read_table(folder / "rows.parquet").drop_columns("_row")


def grid() -> Any:
    """Return two times by three columns with four levels, and what comes beside them."""
    import xarray as xr

    return xr.Dataset(
        {
            "T": (("time", "ncol", "lev"), np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
            "PS": (("time", "ncol"), np.arange(6.0).reshape(2, 3)),
            "lat": (("ncol",), [10.0, 20.0, 30.0]),
            "hyam": (("lev",), np.arange(4.0)),
        },
        {"time": np.array(["2024-01-01", "2024-01-02"], "datetime64[ns]")},
    )


def check_grid(found: pa.Table) -> None:
    names = {"ncol", "T_0", "T_1", "T_2", "T_3", "PS", "lat", "time"}
    assert set(found.column_names) == names
    assert found["T_3"].to_pylist() == [3.0, 7.0, 11.0, 15.0, 19.0, 23.0]
    assert found["PS"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert found["lat"].to_pylist() == [10.0, 20.0, 30.0] * 2
    assert [str(t)[:10] for t in found["time"].to_pylist()] == ["2024-01-01"] * 3 + [
        "2024-01-02"
    ] * 3


def write_parts(folder: Path, write: Callable[[pa.Table, Path], Any], ending: str) -> None:
    for part in range(2):
        below = folder / f"part={part}"
        below.mkdir(parents=True)
        write(ROWS.slice(2 * part, 2), below / f"rows{ending}")


def write_feather(rows: pa.Table, file: Path) -> None:
    pyarrow.feather.write_feather(rows, str(file))


def write_csv(rows: pa.Table, file: Path) -> None:
    rows.to_pandas().to_csv(file, index=False)


WRITERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "parquet": pq.write_table,
    "feather": write_feather,
    "csv": write_csv,
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_storage() as address:
        yield address


@pytest.fixture(params=["here", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], str]:
    """Where a file or folder is read: here, or from a bucket that it is copied to."""
    if request.param == "here":
        return str
    bucket = request.getfixturevalue("bucket")

    def put(path: Path) -> str:
        import s3fs

        target = f"{bucket}/{tmp_path.name}/{path.name}"
        fs = s3fs.S3FileSystem()
        for file in (f for f in [path, *path.rglob("*")] if f.is_file()):
            below = file.relative_to(path).as_posix()
            fs.put_file(str(file), target if below == "." else f"{target}/{below}")
        return target

    return put


@pytest.mark.parametrize("kind", WRITERS)
def test_one_file(kind: str, place: Callable[[Path], str], tmp_path: Path) -> None:
    file = tmp_path / f"rows.{kind}"
    WRITERS[kind](ROWS, file)
    found = snapshot(contract_of(kind=kind, path=place(file)), tmp_path / "out")
    assert found.equals(ROWS)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("asked", ["", "/part=*/*"])
def test_a_folder_and_a_pattern(
    kind: str, asked: str, place: Callable[[Path], str], tmp_path: Path
) -> None:
    write_parts(tmp_path / "rows", WRITERS[kind], f".{kind}")
    (tmp_path / "rows" / "_SUCCESS").write_text("", "utf-8")
    found = snapshot(
        contract_of(kind=kind, path=place(tmp_path / "rows") + asked), tmp_path / "out"
    )
    if kind != "feather":
        assert found["part"].to_pylist() == [0, 0, 1, 1]
    assert found.select(ROWS.column_names).equals(ROWS)


def test_a_column_that_a_file_lacks_is_missing_in_its_rows(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    pq.write_table(ROWS, tmp_path / "rows" / "a.parquet")
    pq.write_table(pa.table({"id": [5], "z": [1.5]}), tmp_path / "rows" / "b.parquet")
    found = snapshot(contract_of(kind="parquet", path=str(tmp_path / "rows")), tmp_path / "out")
    assert found["z"].to_pylist() == [None] * 4 + [1.5]


def test_netcdf(place: Callable[[Path], str], tmp_path: Path) -> None:
    grid().to_netcdf(tmp_path / "grid.nc", engine="netcdf4")
    address = place(tmp_path / "grid.nc")
    contract = contract_of(
        kind="netcdf", path=address, levels=["lev"], query="FROM source ORDER BY time, ncol"
    )
    check_grid(snapshot(contract.model_copy(update={"key": ("time", "ncol")}), tmp_path / "out"))


def test_netcdf_files_of_a_folder_follow_one_another(tmp_path: Path) -> None:
    (tmp_path / "grids").mkdir()
    for i in range(2):
        file = tmp_path / "grids" / f"{i}.nc"
        grid().isel(time=[i]).to_netcdf(file, engine="netcdf4")
    contract = contract_of(kind="netcdf", path=str(tmp_path / "grids"), levels=["lev"])
    check_grid(snapshot(contract.model_copy(update={"key": ("time", "ncol")}), tmp_path / "out"))


def test_zarr(place: Callable[[Path], str], tmp_path: Path) -> None:
    grid().to_zarr(tmp_path / "grid.zarr", zarr_format=2)
    contract = contract_of(kind="zarr", path=place(tmp_path / "grid.zarr"), levels=["lev"])
    check_grid(snapshot(contract.model_copy(update={"key": ("time", "ncol")}), tmp_path / "out"))


def test_dates_of_a_calendar_without_leap_days_are_moments(tmp_path: Path) -> None:
    import xarray as xr

    times = xr.date_range("0001-02-28", periods=2, calendar="noleap", use_cftime=True)
    xr.Dataset({"x": (("time",), [1.0, 2.0])}, {"time": times}).to_netcdf(
        tmp_path / "t.nc", engine="netcdf4"
    )
    found = snapshot(contract_of(kind="netcdf", path=str(tmp_path / "t.nc")), tmp_path / "out")
    assert [str(t) for t in found["time"].to_pylist()] == [
        "0001-02-28 00:00:00",
        "0001-03-01 00:00:00",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"levels": ["level"]}, "expected the dimension level, there are: time, ncol, lev"),
        ({"variables": ["Q"]}, "expected the variable Q, there are: T, PS"),
        ({"levels": ["lev", "ncol"]}, "expected one level dimension in T"),
        ({"levels": ["time", "ncol", "lev"]}, "a dimension that is no level"),
    ],
)
def test_a_grid_that_lacks_what_is_asked_for_is_told(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    grid().to_netcdf(tmp_path / "grid.nc", engine="netcdf4")
    with pytest.raises(DataError, match=words):
        snapshot(
            contract_of(kind="netcdf", path=str(tmp_path / "grid.nc"), **options), tmp_path / "o"
        )


def fill(connection: Any) -> None:
    connection.execute("CREATE TABLE plant (id BIGINT, x DOUBLE PRECISION, place TEXT)")
    for row in ROWS.to_pylist():
        values = ", ".join("NULL" if v is None else repr(v) for v in row.values())
        connection.execute(f"INSERT INTO plant VALUES ({values})")


def test_a_statement_is_run_by_sqlite(tmp_path: Path) -> None:
    pytest.importorskip("adbc_driver_sqlite")
    with sqlite3.connect(tmp_path / "plant.db") as connection:
        fill(connection)
    connection.close()
    source = {"kind": "sql", "database": "sqlite", "path": str(tmp_path / "plant.db")}
    found = snapshot(contract_of(**source, statement="SELECT * FROM plant;"), tmp_path / "out")
    assert found.equals(ROWS)


def test_a_statement_is_run_by_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "plant.duckdb")) as connection:
        fill(connection)
    source = {"kind": "sql", "database": "duckdb", "path": str(tmp_path / "plant.duckdb")}
    found = snapshot(contract_of(**source, statement="FROM plant -- all"), tmp_path / "out")
    assert found.equals(ROWS)


@pytest.mark.parametrize("database", ["sqlite", "duckdb"])
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE plant",
        "SELECT 1; DROP TABLE plant",
        "SELECT * FROM nowhere",
        "SELEKT",
        ") x; --",
    ],
)
def test_a_statement_that_is_no_select_is_told_and_changes_nothing(
    database: str, statement: str, tmp_path: Path
) -> None:
    file = tmp_path / "plant.db"
    open_database: Any = sqlite3.connect if database == "sqlite" else duckdb.connect
    connection = open_database(str(file))
    fill(connection)
    connection.commit() if database == "sqlite" else None
    connection.close()
    before = file.read_bytes()
    source = {"kind": "sql", "database": database, "path": str(file), "statement": statement}
    with pytest.raises(DataError, match=r"does not answer source\.statement"):
        snapshot(contract_of(**source), tmp_path / "out")
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["parquet", "csv", "feather", "netcdf", "zarr"])
@pytest.mark.parametrize("path", ["nowhere", "nowhere/*", "empty"])
def test_nothing_to_read_is_told(kind: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is missing: no file"):
        locate(contract_of(kind=kind, path=str(tmp_path / path)))


def test_a_bucket_that_is_not_there_is_told(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is missing|cannot be reached"):
        locate(contract_of(kind="parquet", path="s3://no-such-bucket/rows.parquet"))


@pytest.mark.parametrize(
    ("changes", "words", "later"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint", True),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate cred", False),
    ],
)
def test_object_storage_that_is_away_or_has_no_keys_is_told_with_its_settings(
    bucket: str, changes: dict[str, str], words: str, later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    for name, value in changes.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.replace("_URL", "_URL_S3"), value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(DataError, match=rf"{words}.*Look at AWS_ACCESS_KEY_ID") as error:
            locate(contract_of(kind="parquet", path=f"{bucket}/rows.parquet"))
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
    assert passes(error.value) == later


def test_memory_is_flat_as_rows_grow(tmp_path: Path) -> None:
    """Ten times the rows of a Feather file take hardly more memory at the peak."""
    code = (
        "import sys; from pathlib import Path;"
        "from tests.benchmarks.harness import peak_bytes;"
        "from tests.test_sources import contract_of;"
        "from tasks.ingest import locate, take_snapshot;"
        "c = contract_of(kind='feather', path=sys.argv[1], query='FROM source WHERE id < 1000');"
        "take_snapshot(c, locate(c), Path(sys.argv[2]));"
        "print(peak_bytes())"
    )
    peaks = []
    for name, blocks in (("small", 3), ("large", 30)):
        file, out = tmp_path / f"{name}.feather", tmp_path / name
        out.mkdir()
        block = pa.record_batch(
            {"id": np.arange(100_000), "x": np.random.default_rng(0).normal(size=100_000)}
        )
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, block.schema) as writer:
            for _ in range(blocks):
                writer.write_batch(block)
        done = subprocess.run(
            [sys.executable, "-c", code, str(file), str(out)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 2**20)
    assert peaks[1] < peaks[0] + 60, f"peak megabytes: {peaks}"


def test_another_content_is_another_snapshot_and_the_same_is_found(tmp_path: Path) -> None:
    write_parts(tmp_path / "rows", pq.write_table, ".parquet")
    contract = contract_of(kind="parquet", path=str(tmp_path / "rows"))
    assert find(contract) is None
    source = locate(contract)
    STAGE.run(
        contract, source.identity(), work=lambda folder: take_snapshot(contract, source, folder)
    )
    assert find(contract) is not None
    pq.write_table(ROWS.slice(0, 1), tmp_path / "rows" / "part=0" / "rows.parquet")
    assert find(contract) is None
