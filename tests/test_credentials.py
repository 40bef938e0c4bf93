"""The words that open a database come from the environment or a Prefect block, and are in nothing
that is written or said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings

from data_contracts.errors import ContractError
from data_contracts.loading import load_contract
from tasks.addresses import clean
from tasks.errors import DataError
from tasks.ingest import locate, take_snapshot
from tests.builders import small_contract
from tests.test_secrets import forms, plain
from tests.topology import HOST, Postgres, needs_postgres, postgres
from tests.walk import polycast

WORD = "planted/a+pass@word"
"""A password with letters that addresses must quote."""
QUOTED = "planted%2Fa%2Bpass%40word"
STATEMENT = "SELECT id, hour, x, y FROM plant"

pytestmark = needs_postgres()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    pytest.importorskip("adbc_driver_postgresql")
    with postgres() as found:
        found.execute(
            "CREATE TABLE plant AS SELECT i AS id, sin(i) AS x, cos(i) AS y, "
            "TIMESTAMP '2024-01-01' + i * INTERVAL '1 hour' AS hour FROM generate_series(1, 300) i"
        )
        yield found


def dsn(server: Postgres, database: str = "postgres") -> str:
    return f"postgresql://polycast:{QUOTED}@{HOST}:{server.port}/{database}"


def source(**changes: Any) -> dict[str, Any]:
    content = {"kind": "sql", "database": "postgresql", "statement": STATEMENT}
    return {**content, "connection": {"env": "PLANT_DSN"}, **changes}


def rows(folder: Path, **changes: Any) -> pa.Table:
    contract = small_contract(source=source(**changes))
    folder.mkdir(exist_ok=True)
    take_snapshot(contract, locate(contract), folder)
    return pq.read_table(folder / "rows.parquet")


def holding(folder: Path, said: str) -> list[str]:
    """Return what holds the password: files by name, or what was said."""
    found = {str(f): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    found["said"] = said.encode()
    words = forms(WORD) | {QUOTED.encode(), b"a+pass"}
    return [name for name, text in found.items() if any(w in plain(text) for w in words)]


def test_postgresql_answers_in_batches(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DSN", dsn(server))
    found = rows(tmp_path / "out")
    assert found["id"].to_pylist() == list(range(1, 301))
    assert str(found["hour"].type) == "timestamp[us]"


def test_the_order_of_the_rows_is_no_other_content_and_another_value_is(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DSN", dsn(server))
    found = [
        locate(small_contract(source=source(statement=text))).identity()
        for text in (
            f"{STATEMENT} ORDER BY id",
            f"{STATEMENT} ORDER BY y DESC",
            "SELECT id, hour, x, y + (id = 9)::INT AS y FROM plant",
        )
    ]
    assert found[0] == found[1] != found[2]


def test_a_prefect_block_holds_the_address(server: Postgres, tmp_path: Path, api: str) -> None:
    with temporary_settings({PREFECT_API_URL: api}):
        Secret(value=dsn(server)).save("plant-dsn", overwrite=True)
        assert len(rows(tmp_path / "out", connection={"block": "plant-dsn"})) == 300
        assert "planted" not in clean(f"connection to {dsn(server)} with {QUOTED} or {WORD}")
        with pytest.raises(DataError, match="secret/other, which is not there"):
            locate(small_contract(source=source(connection={"block": "other"})))


def test_a_variable_that_is_not_set_is_told_by_its_name() -> None:
    with pytest.raises(DataError, match="variable PLANT_DSN, which is not set"):
        locate(small_contract(source=source()))


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE plant", "SELECT 1; DROP TABLE plant", "SELECT x FROM nowhere", ") ; --"],
)
def test_a_statement_reads_alone(
    statement: str, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DSN", dsn(server))
    with pytest.raises(DataError, match=r"PostgreSQL does not answer source\.statement"):
        locate(small_contract(source=source(statement=statement)))
    server.execute("SELECT * FROM plant")


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://polycast:{word}@127.0.0.1:1/postgres",
        "postgresql://polycast:{word}@[127.0.0.1/postgres",
        "host=127.0.0.1 port=1 user=polycast password={word} dbname=x",
        "host=127.0.0.1 port=1 pasword={word}",
        "{word}",
    ],
)
def test_a_server_that_does_not_answer_is_told_without_the_password(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DSN", wrong.format(word=QUOTED))
    with pytest.raises(DataError, match="PostgreSQL") as error:
        locate(small_contract(source=source()))
    assert "planted" not in str(error.value)
    assert "Its address is in the environment variable PLANT_DSN" in str(error.value)


@pytest.mark.parametrize(
    "held",
    [
        {"kind": "parquet", "path": f"s3://key:{QUOTED}@bucket/rows"},
        {"kind": "parquet", "path": f"https://host/rows?secret={QUOTED}"},
        source(statement=f"SELECT * FROM dblink('host=x password={QUOTED}')"),
        {"kind": "python", "name": "mine", "options": {"dsn": f"postgresql://me:{QUOTED}@host/x"}},
    ],
)
def test_a_contract_with_a_password_is_refused_without_saying_it(
    held: dict[str, Any], tmp_path: Path
) -> None:
    content = yaml.safe_load(small_contract().model_dump_json()) | {"source": held}
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(ContractError, match="text without user or password") as error:
        load_contract(str(file))
    assert "planted" not in str(error.value)
    at_s3 = str(held.get("path")).startswith("s3:")
    mend = "AWS_SECRET_ACCESS_KEY in the environment" if at_s3 else "connection: {env: PLANT_DSN}"
    assert mend in str(error.value)


@pytest.mark.parametrize("word", ["check", pytest.param("retrain", marks=pytest.mark.slow)])
def test_nothing_that_a_command_writes_or_says_holds_the_password(
    word: str, server: Postgres, tmp_path: Path
) -> None:
    content = {
        "format": 1,
        "dataset": "plant",
        "source": source(),
        "key": ["id"],
        "time": "hour",
        "features": {"x": {"unit": "m"}},
        "targets": {"y": {"unit": "m", "present": "x"}},
        "split": {"kind": "time"},
        "recipe": {"base": "shared_128_64", "hidden": [4], "epochs": 1, "batch_size": 64},
        "evaluation": {"baselines": ["mean", "persistence"]},
        "gate": {"rules": [{"rule": "size", "at_most": 50}], "approval": "manual"},
    }
    file = tmp_path / "data_contracts" / "plant.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(content), "utf-8")
    made = polycast(tmp_path, word, "plant", PLANT_DSN=dsn(server))
    assert made.returncode in (0, 3, 5), made.stdout + made.stderr
    failed = polycast(tmp_path, "check", "plant", PLANT_DSN=dsn(server, "nowhere"))
    assert failed.returncode == 4, failed.stdout + failed.stderr
    names = {f.name for f in tmp_path.rglob("*")}
    assert names >= ({"rows.parquet"} if word == "check" else {"rows.parquet", "mlflow.db"}), names
    assert not holding(tmp_path, made.stdout + made.stderr + failed.stdout + failed.stderr)
