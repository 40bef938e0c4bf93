"""A secret of the environment, or of an address, is in nothing that retrains write or say: files,
databases, logs, reports, the published model, object storage."""

import base64
import io
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from flows.server import HOST, free_port
from tests.topology import BUCKET, make_bucket, moto, port_of, reached
from tests.walk import DATASET, command, polycast, surroundings, write_contract

SETTINGS = (
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_PASSWORD",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "PGPASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
WORDS = {name: f"planted/{number}+{name[::-1].lower()}" for number, name in enumerate(SETTINGS)}
"""A secret for every setting, with letters that addresses must quote."""
WORDS["PREFECT_SERVER_API_AUTH_STRING"] = WORDS["PREFECT_API_AUTH_STRING"]
ADDRESS = "planted/in+an+address"
"""A password that comes in an address."""


def environment() -> dict[str, str]:
    """Return every setting with its secret; those of Prefect's interface with a user before it."""
    users = {n: f"team:{word}" for n, word in WORDS.items() if n.endswith("AUTH_STRING")}
    return WORDS | users | {"MLFLOW_TRACKING_USERNAME": "team"}


@dataclass(frozen=True)
class Written:
    """All that a team and its commands have left behind, and what the commands said."""

    folder: Path
    objects: dict[str, bytes]
    remote: "subprocess.CompletedProcess[str]"
    addressed: "subprocess.CompletedProcess[str]"
    failed: "subprocess.CompletedProcess[str]"
    up: str


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("team")
    write_contract(folder)
    storage = moto(tmp_path_factory.mktemp("storage"))
    storage.start()
    try:
        storage.wait()
        make_bucket(port_of(storage))
        settings = reached(port_of(storage)) | environment()
        settings["POLYCAST_HOME"] = f"s3://{BUCKET}/home"
        yield retrained(folder, settings)
    finally:
        storage.stop()


def retrained(folder: Path, settings: dict[str, str]) -> Written:
    """Retrain on a team's workers, with a password in an address, and with one that is refused."""
    ports = [str(free_port()), str(free_port())]
    options = ["--prefect-port", ports[0], "--mlflow-port", ports[1], "--gpus", "0"]
    up = subprocess.Popen(
        command("up", *options),
        cwd=folder,
        env=surroundings(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout is not None
    said = ""
    try:
        while "Ready." not in said:
            said += (line := up.stdout.readline())
            assert line, said
        remote = polycast(folder, "retrain", DATASET, "--remote", **settings)
        again = ("retrain", DATASET, "--from", "publish")
        there, no_registry = (f"http://team:{quote(ADDRESS, safe='')}@{HOST}:{p}" for p in ports)
        addressed = polycast(folder, *again, **settings, MLFLOW_TRACKING_URI=no_registry)
        failed = polycast(folder, *again, **settings, MLFLOW_TRACKING_URI=there)
    finally:
        up.send_signal(signal.SIGINT)
        said += up.communicate(timeout=60)[0]
    return Written(folder, objects(settings), remote, addressed, failed, said)


def objects(settings: dict[str, str]) -> dict[str, bytes]:
    """Return what object storage holds, by its address."""
    import s3fs

    storage = s3fs.S3FileSystem(
        key=settings["AWS_ACCESS_KEY_ID"],
        secret=settings["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        skip_instance_cache=True,
    )
    return {name: storage.cat_file(name) for name in storage.find(BUCKET)}


def forms(word: str) -> set[bytes]:
    """Return the ways in which a secret may be written."""
    basic = [base64.b64encode(text.encode()).decode() for text in (word, f"team:{word}")]
    return {text.encode() for text in (word, quote(word), quote(word, safe=""), *basic)}


def plain(content: bytes) -> bytes:
    """Return what is in a file, and what is packed in it: archives and Parquet's tables."""
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content + b"".join(archive.read(name) for name in archive.namelist())
    if content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        texts = [c for c in table.columns if str(c.type).endswith("string")]
        return content + str(table.schema).encode() + str([c.to_pylist() for c in texts]).encode()
    return content


def holding(found: dict[str, bytes]) -> dict[str, list[str]]:
    """Return which of these contents hold a secret, and which ones."""
    secrets = {**WORDS, "an address": ADDRESS}
    held = {}
    for name, content in found.items():
        text = plain(content)
        if names := [n for n, word in secrets.items() if any(f in text for f in forms(word))]:
            held[name] = names
    return held


@pytest.mark.slow
def test_retrains_go_through_with_secrets_and_one_without_a_registry_fails(
    written: Written,
) -> None:
    assert written.remote.returncode == 0, written.remote.stdout + written.remote.stderr
    assert written.addressed.returncode == 0, written.addressed.stdout + written.addressed.stderr
    assert written.failed.returncode == 1, written.failed.stdout + written.failed.stderr


@pytest.mark.slow
def test_no_object_in_storage_holds_a_secret(written: Written) -> None:
    assert any(name.endswith("report.html") for name in written.objects)
    assert not holding(written.objects)


@pytest.mark.slow
def test_no_file_database_or_log_holds_a_secret(written: Written) -> None:
    files = [file for file in written.folder.rglob("*") if file.is_file()]
    names = {file.name for file in files}
    assert names >= {"prefect.db", "mlflow.db", "server.log", "fault.log"}, names
    assert not holding({str(f.relative_to(written.folder)): f.read_bytes() for f in files})


@pytest.mark.slow
def test_nothing_that_is_said_holds_a_secret(written: Written) -> None:
    said = {"up": written.up.encode()}
    for name in ("remote", "addressed", "failed"):
        result = getattr(written, name)
        said[name] = (result.stdout + result.stderr).encode()
    assert not holding(said)
    assert "planted" not in b"".join(said.values()).decode()


def test_the_search_finds_a_secret_however_it_is_written(tmp_path: Path) -> None:
    import pyarrow as pa

    word = WORDS["PGPASSWORD"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", quote(word, safe=""))
    table = tmp_path / "table.parquet"
    pq.write_table(pa.table({"text": [word]}), table)
    basic = base64.b64encode(f"team:{word}".encode())
    found = {"zip": packed.getvalue(), "table": table.read_bytes(), "log": b"Basic " + basic}
    assert holding(found | {"none": os.urandom(64)}) == {name: ["PGPASSWORD"] for name in found}
