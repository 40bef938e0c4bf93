"""A fresh process in which Polycast is not installed, and in which a model answers raw rows.

In: a format's runner, then the model's folder and a file of rows. Out: answers and measurements, or
Unproved with what the process said last.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCRIPT = Path(__file__).with_name("answering.py")
PATIENCE = 900.0
"""Seconds after which a process counts as stuck."""
LAST_LINES = 4
GREETINGS = ("I0000 ", "WARNING: All log messages before")
"""How lines begin that TensorFlow writes as it is imported; no setting keeps it from that."""
SETTINGS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Another process on the same GPU keeps what it has.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


class Unproved(Exception):
    """A model that did not load or answer, or that answers otherwise, in words."""


@dataclass(frozen=True)
class Found:
    """What a clean process has found."""

    answers: NDArray[np.float64]
    """(rows, targets)."""
    load_seconds: float
    peak: int
    """The most bytes of memory that it took."""
    milliseconds: dict[str, float]


class CleanProcess:
    """The process. It begins to load its libraries as soon as it is made; as a context it ends
    with it."""

    def __init__(self, runner: Path, folder: Path) -> None:
        """runner: a format's file. folder: an empty one, for what it writes."""
        self._folder = folder
        with (folder / "said.txt").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", str(SCRIPT), str(runner)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=os.environ | SETTINGS,
                text=True,
            )

    def answer(self, model: Path, rows: Path) -> Found:
        """Return what the model in a folder answers to the rows of a file. Raises Unproved."""
        asked = {"folder": str(model), "rows": str(rows), "out": str(self._folder)}
        try:
            self._process.communicate(json.dumps(asked) + "\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Unproved(f"it has not answered within {PATIENCE:.0f} s") from None
        if self._process.returncode:
            code = self._process.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            raise Unproved(f"the process that loaded it {how}: {self._last()}")
        found: dict[str, Any] = json.loads((self._folder / "measured.json").read_text("utf-8"))
        return Found(np.load(self._folder / "answers.npy", allow_pickle=False), **found)

    def _last(self) -> str:
        """Return what the process said last, on one line, but for TensorFlow's greetings."""
        said = (self._folder / "said.txt").read_text("utf-8", "replace")
        lines = [line.strip() for line in said.splitlines()]
        lines = [line for line in lines if line and not line.startswith(GREETINGS)]
        return " ".join(lines[-LAST_LINES:])[-500:] or "it said nothing"

    def __enter__(self) -> "CleanProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()
