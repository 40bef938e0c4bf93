"""The scoring server: what it answers, and what it says of each wrong request."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import uvicorn

from flows.server import free_port
from tasks import publish
from tasks.learning.bundle import Bundle, save_bundle
from tasks.learning.checksums import NAME, write_checksums
from tasks.publish.signature import signature
from tasks.serving.app import MOST_BYTES, application
from tests.builders import small_contract, small_rows
from tests.test_frames import untrained
from tests.walk import DATASET, command, polycast, surroundings, write_contract

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and Starlette's own, as they load
JSON = {"content-type": "application/json"}
ROW = {"x": 5.0, "z": -3.0, "place": "here", "angle": 90.0, "time": "2024-05-01T03:00:00Z"}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return untrained("shared")


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """MLflow's server around an untrained model, on a port of loopback."""

    folder = tmp_path_factory.mktemp("served")
    app, _ = application(loaded(bundle, folder), "small/7")
    with listening(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def loaded(bundle: Bundle, folder: Path) -> Any:
    """A bundle as MLflow saves it as a model, and loads it."""
    import mlflow

    save_bundle(bundle, folder / "bundle")
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(Path(publish.__file__).with_name("pyfunc_model.py")),
        artifacts={"bundle": str(folder / "bundle"), NAME: str(write_checksums(folder))},
        signature=signature(small_contract()),
        input_example=small_rows(3).select(list(ROW)).to_pandas(),
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


@contextmanager
def listening(app: Any) -> Iterator[str]:
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join()


def asked(server: httpx.Client, params: Any = None, **changes: Any) -> tuple[int, Any]:
    """Return the status and the content for one row with changes; None leaves a column out."""
    row = {k: v for k, v in (ROW | changes).items() if v != "left out"}
    body: dict[str, Any] = {"dataframe_records": [row]} | ({"params": params} if params else {})
    answer = server.post("/invocations", json=body)
    return answer.status_code, answer.json()


def refused(
    server: httpx.Client, content: bytes, kind: str = "application/json"
) -> tuple[int, str]:
    answer = server.post("/invocations", content=content, headers={"content-type": kind})
    assert set(answer.json()) == {"error_code", "message"}  # and no traceback
    assert len(answer.content) < 1000
    return answer.status_code, answer.json()["message"]


def test_a_row_is_answered_in_units_with_the_version_that_answered(
    server: httpx.Client, bundle: Bundle
) -> None:
    answer = server.post("/invocations", json={"dataframe_records": [ROW]})
    own = bundle.predict(pa.Table.from_pylist([ROW])).frame().to_dict("records")
    assert answer.json() == {"predictions": [pytest.approx(own[0])]}
    assert answer.headers["x-polycast-version"] == "small/7"


def test_an_interval_is_answered_when_it_is_asked_for(server: httpx.Client) -> None:
    status, content = asked(server, params={"interval": 0.9})
    assert status == 200
    assert content["predictions"][0]["a_low"] < content["predictions"][0]["a_high"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": "left out"}, "x: expected a number, came no such column"),
        ({"x": "warm"}, "x: expected numbers, came text such as 'warm'"),
        ({"place": "nowhere"}, "place: expected one of here, there, came nowhere in row 0"),
        ({"time": "noon"}, "time: expected points in time, came text"),
        ({"x": 1e300}, "x: expected a number within ±3.4e+38, came 1e+300 in row 0"),
    ],
)
def test_a_row_that_is_wrong_is_refused_by_column(
    server: httpx.Client, changes: dict[str, Any], words: str
) -> None:
    status, content = asked(server, **changes)
    assert status == 400
    assert words in content["message"]
    assert "stack_trace" not in content


def test_a_missing_value_is_refused_where_no_train_row_lacked_one(tmp_path: Path) -> None:

    from tasks.serving.strict import Refused, Strict

    whole = untrained("shared", rows=small_rows(missing=0.0))
    model = Strict(loaded(whole, tmp_path), whole)
    with pytest.raises(Refused, match="angle: expected a number, since no train row lacked it"):
        model.predict(pa.Table.from_pylist([ROW | {"angle": None}]).to_pandas())


def test_a_missing_value_is_answered_where_train_rows_lacked_some(server: httpx.Client) -> None:
    assert asked(server, x=None)[0] == 200


def test_nan_is_refused_since_json_has_none(server: httpx.Client) -> None:
    body = b'{"dataframe_records": [{"x": NaN}]}'
    assert refused(server, body) == (400, "NaN is no JSON: write null for a missing value")


def test_a_parameter_that_the_model_does_not_have_is_refused(server: httpx.Client) -> None:
    status, content = asked(server, params={"intervall": 0.9})
    assert status == 400
    assert (
        "expected any of interval, region, quantiles, samples, came intervall" in content["message"]
    )


RUBBISH = bytes(range(256)) * 40_000


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (RUBBISH, "application/json", 400, "expected text in UTF-8, came byte 0x80 at 128"),
        (RUBBISH, "text/csv", 400, "expected text in UTF-8"),
        (RUBBISH, "application/vnd.apache.parquet", 400, "valid Parquet"),
        (RUBBISH, "", 415, "content-type: expected application/json"),
        (b"x" * 10_000_000, "application/json", 400, "valid JSON"),
        (b"[" * 10_000_000, "application/json", 400, "brackets stand within brackets"),
        (b"[1, 2]", "application/json", 400, "Received a list"),
        (b"{}", "application/json", 400, "exactly one of the input fields"),
        (b"", "application/json", 400, "valid JSON"),
        (b"1" * (MOST_BYTES + 1), "application/json", 413, "at most 32 MiB"),
    ],
)
def test_rubbish_is_refused_in_few_words(
    server: httpx.Client, content: bytes, kind: str, status: int, words: str
) -> None:
    found, message = refused(server, content, kind)
    assert found == status
    assert words in message


def test_a_body_without_a_length_is_read_no_further_than_the_limit(server: httpx.Client) -> None:
    pieces = (b"1" * (1 << 20) for _ in range(40))
    answer = server.post("/invocations", content=pieces, headers=JSON)
    assert answer.status_code == 413


@pytest.mark.slow
def test_the_command_answers_with_the_champion_and_with_the_next_one(tmp_path: Path) -> None:
    """Two versions of a dataset, `polycast serve` on a port of its own, and Ctrl-C."""
    write_contract(tmp_path, gate={"rules": [{"rule": "baseline", "baseline": "mean"}]})
    assert polycast(tmp_path, "retrain", DATASET).returncode == 0
    port = str(free_port())
    process = subprocess.Popen(
        command("serve", DATASET, "--port", port),
        cwd=tmp_path,
        env=surroundings({}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert next(lines).startswith(f"Ready. {DATASET} version 1")
    shown = next(lines) + next(lines) + next(lines)
    address = shown.split("curl ")[1].split(" ")[0]
    body = shown.split("-d '")[1].split("'")[0].encode()
    answer = httpx.post(address, content=body, headers=JSON, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-polycast-version"] == f"{DATASET}/1"
    assert polycast(tmp_path, "retrain", DATASET, "--set", "recipe.epochs=4").returncode == 0
    assert "version 2 is champion now" in next(line for line in lines if line.strip())
    answer = httpx.post(address, content=body, headers=JSON, timeout=60)
    assert answer.headers["x-polycast-version"] == f"{DATASET}/2"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
