"""Processes of this machine that the tests have started, found by what started them."""

import os
import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that are still there."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def words(pid: int) -> list[str]:
    """Return the command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    except OSError:
        return []


def guarded_by(parent: int, *wanted: str) -> int:
    """Return the process under guard of a parent's whose command line holds all these words."""
    found = [c for guard in children(parent) for c in children(guard)]
    (one,) = [c for c in found if set(wanted) <= set(words(c))]
    return one


def of_run(run: str) -> list[int]:
    """Return the processes of a flow run that a worker has started, the eldest first."""
    mark = f"PREFECT__FLOW_RUN_ID={run}".encode()
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdecimal() and mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:
            continue
    return sorted(found, key=_age)


def _age(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except OSError:
        return 0


def all_gone(*runs: str, within: float = 20.0) -> bool:
    """Say whether no process of these runs is there any more, or is within seconds."""
    deadline = time.monotonic() + within
    while any(of_run(run) for run in runs):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def kill(pid: int) -> None:
    """End a process as an accident would."""
    os.kill(pid, 9)
