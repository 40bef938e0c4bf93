"""A flow's process ends when the worker that started it does."""

import os
import subprocess
import sys
import time

import pytest

from tests.walk import surroundings

FLOW = (
    "import time\n"
    "from flows.worker import join_worker\n"
    "join_worker()\n"
    "print('runs', flush=True)\n"
    "time.sleep(60)\n"
)
WORKER = (
    "import subprocess, sys, time\n"
    "flow = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE)\n"
    "flow.stdout.readline()\n"
    "print(flow.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def started(environment: dict[str, str]) -> tuple["subprocess.Popen[str]", int]:
    """Return a process that stands for a worker, and the id of the flow's process under it."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, FLOW],
        env=surroundings(environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    return worker, int(worker.stdout.readline())


def ends(pid: int, within: float) -> bool:
    """Say whether a process ends within seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_flow_ends_when_its_worker_is_killed() -> None:
    worker, flow = started({"PREFECT__FLOW_RUN_ID": "7f9a2c"})
    worker.kill()
    worker.communicate(timeout=30)
    assert ends(flow, within=30)


@pytest.mark.parametrize("seconds", [2.5])
def test_a_flow_that_a_terminal_started_goes_on(seconds: float) -> None:
    worker, flow = started({})
    worker.kill()
    worker.communicate(timeout=30)
    assert not ends(flow, within=seconds)
    os.kill(flow, 9)
