"""`python -m flows.guard COMMAND …`: run a server that ends when the process that started it does.

The guard reads its standard input, which its parent holds open. When that closes, however the
parent ended, the command and all that it started are stopped. `guarded` is the parent's side.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

GRACE = 10.0
"""Seconds that a server has to end by itself."""


@contextmanager
def guarded(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a process that runs `python -m COMMAND` under guard, its output in `log`."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.guard", sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env=dict(environment or os.environ),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def _guard(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_stop_at_end_of_input, args=(child,), daemon=True).start()
    code = child.wait()
    _signal_all(child, signal.SIGKILL)
    return code


def _stop_at_end_of_input(child: "subprocess.Popen[bytes]") -> None:
    # Not through `sys.stdin`: its lock, held by a thread, aborts the interpreter as it ends.
    while os.read(0, 4096):
        pass
    _signal_all(child, signal.SIGTERM)
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        _signal_all(child, signal.SIGKILL)


def _signal_all(child: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal the child and all that it started: they share its session's process group."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(_guard(sys.argv[1:]))
