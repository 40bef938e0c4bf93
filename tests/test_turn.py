"""One retrain of a dataset at a time: a second waits, and a dead one holds nobody up."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.turn import turn
from tests.builders import small_contract
from tests.walk import surroundings

HOLDS = (
    "from flows.turn import turn\n"
    "from tests.builders import small_contract\n"
    "with turn(small_contract()):\n"
    "    print('holds', flush=True)\n"
    "    input()\n"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def holder(home: Path) -> "subprocess.Popen[str]":
    """Return another process that holds the dataset until it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        env=surroundings({"POLYCAST_HOME": str(home)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    return process


def waiting() -> tuple[threading.Thread, threading.Event]:
    """Start to wait for the dataset's turn; return the thread and what it sets on its turn."""
    had = threading.Event()

    def wait() -> None:
        with turn(small_contract()):
            had.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, had


def test_a_second_retrain_waits_until_the_first_has_ended(
    holder: "subprocess.Popen[str]",
) -> None:
    thread, had = waiting()
    assert not had.wait(1)
    holder.communicate("\n", timeout=30)
    thread.join(30)
    assert had.is_set()


def test_a_retrain_that_was_killed_holds_nobody_up(holder: "subprocess.Popen[str]") -> None:
    thread, had = waiting()
    assert not had.wait(0.5)
    holder.kill()
    holder.communicate(timeout=30)
    thread.join(30)
    assert had.is_set()


def test_other_datasets_do_not_wait(holder: "subprocess.Popen[str]") -> None:
    with turn(small_contract(dataset="other")):
        assert holder.poll() is None
    holder.communicate("\n", timeout=30)
