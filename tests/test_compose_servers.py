"""The compose file's servers, registration and a retrain, started by its own commands and settings
as processes on loopback: PostgreSQL from Debian and moto's S3 server stand beneath them."""

import base64
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from flows.guard import guarded
from flows.server import free_port, wait_for
from tests.test_compose import Services, compose, filled
from tests.topology import POSTGRES, needs_postgres
from tests.walk import DATASET, surroundings, write_contract

PUBLIC = "mlflow.example.org"
pytestmark = [pytest.mark.slow, needs_postgres()]


@dataclass(frozen=True)
class Stack:
    """The services of the compose file, and the loopback address that each has here."""

    services: Services
    moved: dict[str, str]

    def said(self, text: str) -> str:
        for there, here in self.moved.items():
            text = text.replace(there, here)
        return text

    def command(self, name: str) -> list[str]:
        return [self.said(w) for w in self.services[name]["command"]]

    def environment(self, name: str, **changes: str) -> dict[str, str]:
        given = self.services[name]["environment"]
        return surroundings({k: self.said(v) for k, v in given.items()} | changes)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    settings = filled(folder)
    with settings.open("a", encoding="utf-8") as stream:
        stream.write(f"MLFLOW_PUBLIC_HOST={PUBLIC}\n")
    shown = compose(settings, "config", "--format", "json").stdout
    services: Services = json.loads(shown)["services"]
    prefect, mlflow, storage = (free_port() for _ in range(3))
    with ExitStack() as held:
        database = held.enter_context(postgres(services))
        moved = {
            "http://storage:8333": f"http://127.0.0.1:{storage}",
            "http://prefect:4200": f"http://127.0.0.1:{prefect}",
            "http://127.0.0.1:4200": f"http://127.0.0.1:{prefect}",
            "mlflow:5000": f"127.0.0.1:{mlflow}",
            "--port=5000": f"--port={mlflow}",
            "@postgres:5432": f"@127.0.0.1:{database}",
            "/srv/polycast": str(folder),
            "0.0.0.0": "127.0.0.1",
        }
        exact = {"4200": str(prefect), "5432": str(database), "postgres": "127.0.0.1"}
        for service in services.values():
            given = service["environment"]
            service["environment"] = {k: exact.get(v, v) for k, v in given.items()}
            service["command"] = [exact.get(w, w) for w in service.get("command") or []]
        found = Stack(services, moved)
        buckets(storage, services, held)
        for name, health in (("prefect", f"{prefect}/api/ready"), ("mlflow", f"{mlflow}/health")):
            environment = found.environment(name, PREFECT_HOME=str(folder / "prefect"))
            log = folder / f"{name}.log"
            process = held.enter_context(guarded(found.command(name), log, environment))
            wait_for(process, f"http://127.0.0.1:{health}", log)
        yield found


def buckets(port: int, services: Services, held: ExitStack) -> None:
    """Start the object storage with the bucket that its service makes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port)
    server.start()
    held.callback(server.stop)
    keys = services["storage"]["environment"]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=keys["S3_BUCKET"])


@contextmanager
def postgres(services: Services) -> Iterator[int]:
    """Yield the port of a PostgreSQL with the role and databases that its service makes."""
    assert POSTGRES is not None
    given = services["postgres"]["environment"]
    # PostgreSQL refuses to run as root, and root's temporary folders are root's alone.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="polycast-postgres-"))
    word = folder / "word"
    word.write_text(given["POSTGRES_PASSWORD"], "utf-8")
    if user:
        for path in (folder, word):
            shutil.chown(path, user)
    port, data = free_port(), folder / "data"
    make = [POSTGRES / "initdb", "-D", data, "-U", given["POSTGRES_USER"], "-A", "scram-sha-256"]
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [*make, "--pwfile", word], check=True, user=user, cwd=folder, stdout=log, stderr=log
        )
        run = [POSTGRES / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1"]
        server = subprocess.Popen(
            [*run, "-k", folder], user=user, cwd=folder, stdout=log, stderr=log
        )
    try:
        for name in (given["POSTGRES_DB"], "mlflow"):
            with connected(port, given) as connection:
                connection.execute(f"CREATE DATABASE {name}")
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
        shutil.rmtree(folder)


def connected(port: int, given: dict[str, str]) -> "psycopg.Connection[tuple[object, ...]]":
    """Return a connection to a server that may still be starting."""
    for attempt in range(100):
        try:
            return psycopg.connect(
                host="127.0.0.1",
                port=port,
                user=given["POSTGRES_USER"],
                password=given["POSTGRES_PASSWORD"],
                dbname="postgres",
                autocommit=True,
            )
        except psycopg.OperationalError:
            if attempt == 99:
                raise
            time.sleep(0.1)
    raise AssertionError


def asked(stack: Stack, word: str | None) -> int:
    """Return the status of a query to Prefect's server, with a user and password or without."""
    address = stack.environment("deploy")["PREFECT_API_URL"]
    request = urllib.request.Request(f"{address}/flows/filter", b"{}", method="POST")
    request.add_header("Content-Type", "application/json")
    if word:
        request.add_header("Authorization", f"Basic {base64.b64encode(word.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def polycast(
    stack: Stack, service: str, folder: Path, *words: str, **changes: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows", *words],
        cwd=folder,
        env=stack.environment(service, **changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_prefect_answers_only_who_knows_the_password(stack: Stack) -> None:
    assert asked(stack, None) == 401
    assert asked(stack, "planted:wrong") == 401
    assert asked(stack, stack.services["deploy"]["environment"]["PREFECT_API_AUTH_STRING"]) == 200


def posted(stack: Stack, host: str | None, origin: str | None) -> int:
    """Return the status of a query to MLflow, as a worker or a page of `origin` sends it."""
    address = stack.environment("worker")["MLFLOW_TRACKING_URI"]
    given = {"Host": host, "Origin": origin, "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/runs/search",
        b'{"experiment_ids": ["0"]}',
        {k: v for k, v in given.items() if v},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_mlflow_answers_under_its_own_names_and_to_its_own_pages_alone(stack: Stack) -> None:
    assert posted(stack, None, None) == 200
    assert posted(stack, PUBLIC, f"https://{PUBLIC}") == 200
    assert posted(stack, "other.example", None) == 403
    assert posted(stack, PUBLIC, "https://other.example") == 403


def test_the_registration_and_a_retrain_go_through(stack: Stack, tmp_path: Path) -> None:
    write_contract(tmp_path)
    words = stack.command("deploy")
    assert words[0] == "polycast"
    registered = polycast(stack, "deploy", tmp_path, *words[1:])
    assert registered.returncode == 0, registered.stdout + registered.stderr
    assert f"retrain/{DATASET}" in registered.stdout
    trained = polycast(stack, "worker", tmp_path, "retrain", DATASET)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert f"Published {DATASET} version 1" in trained.stdout
    # What is secret is in nothing that was said or written on the way.
    written = [f.read_text("utf-8", "replace") for f in tmp_path.rglob("*") if f.is_file()]
    for text in (registered.stdout, trained.stdout, trained.stderr, *written):
        assert "planted:" not in text


def test_the_registration_with_a_wrong_password_fails(stack: Stack, tmp_path: Path) -> None:
    refused = polycast(stack, "deploy", tmp_path, "deploy", PREFECT_API_AUTH_STRING="planted:no")
    assert refused.returncode == 1
    assert "Published" not in refused.stdout
