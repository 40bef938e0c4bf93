"""Databases that come with a storage root are whole or not there, whatever ends their making."""

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.prefect_database import whole_database
from flows.server import ServerFault
from tasks.registry_database import make_database
from tests.walk import surroundings

MAKES = (
    "import pathlib, sys\n"
    "from tasks.registry_database import make_database\n"
    "make_database(pathlib.Path(sys.argv[1]))\n"
)


def made(file: Path) -> list[str]:
    """Return the command of a process that makes the registry's database."""
    return [sys.executable, "-c", MAKES, str(file)]


def tables(file: Path) -> set[str]:
    with sqlite3.connect(file) as database:
        found = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    database.close()
    return found


def test_a_registry_whose_making_is_killed_is_made_by_the_next_run(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    first = subprocess.Popen(
        made(file), env=surroundings({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    assert list(tmp_path.iterdir()), "it was killed before it began"
    assert not file.exists()
    subprocess.run(made(file), env=surroundings({}), check=True, capture_output=True)
    assert {"alembic_version", "registered_models", "runs"} <= tables(file)
    assert not any(name.startswith("_alembic_tmp") for name in tables(file))


def test_a_registry_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"somebody's")
    make_database(file)
    assert file.read_bytes() == b"somebody's"


def fails(database: Path) -> None:
    """Start a server that ends before it answers, amid the making of its tables."""
    database.write_bytes(b"half-made")
    raise ServerFault("the server ended with code 1")


def test_prefects_database_is_made_anew_where_its_first_start_failed(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    with pytest.raises(ServerFault, match="ended"), whole_database(tmp_path):
        fails(database)
    with whole_database(tmp_path):
        assert not database.exists()
        database.write_bytes(b"whole")
    with whole_database(tmp_path):
        assert database.read_bytes() == b"whole"


def test_a_start_that_fails_keeps_a_database_that_was_whole(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    with whole_database(tmp_path):
        database.write_bytes(b"whole")
    with pytest.raises(ServerFault, match="ended"), whole_database(tmp_path):
        raise ServerFault("the server ended with code 1")
    with whole_database(tmp_path):
        assert database.read_bytes() == b"whole"
