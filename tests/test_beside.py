"""A server's garbage is collected beside its event loop: neither waits for the other's lock."""

import subprocess
import sys
from pathlib import Path

import pytest

SERVER = """
import sqlite3, sys, threading, time

file = sys.argv[1]
holder = sqlite3.connect(file, isolation_level=None)
holder.execute("PRAGMA journal_mode = WAL")
other = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=12)
holder.execute("BEGIN IMMEDIATE")


class Cycle:
    pass


cycle = Cycle()
cycle.own, cycle.statement = cycle, other.execute("VALUES (1), (2)")
cycle.statement.fetchone()


def write():
    try:
        other.execute("BEGIN IMMEDIATE")
        print("written")
    except sqlite3.OperationalError as fault:
        print(fault)


thread = threading.Thread(target=write)
thread.start()
time.sleep(0.5)
del cycle
kept = [[i] for i in range(200_000)]
time.sleep(float(sys.argv[2]))
holder.execute("COMMIT")
thread.join()
"""


@pytest.mark.parametrize(
    ("words", "said"), [(["flows.beside"], "written"), ([], "database is locked")]
)
def test_a_statement_that_is_garbage_holds_up_no_transaction(
    words: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "served.py").write_text(SERVER, "utf-8")
    command = [sys.executable, "-m", *words, "served", str(tmp_path / "file.db"), "5"]
    root = str(Path(__file__).parents[1])
    ran = subprocess.run(
        command,
        env={"PYTHONPATH": f"{root}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ran.stdout.strip() == said
