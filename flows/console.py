"""What the terminal shows while a run goes on: one line a stage, and a bar while it trains.

Stages tell their news on the `polycast` logger; this handler draws it. Where output is not a
terminal, every tenth epoch is a line.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status

from tasks.storage import local_home

MARKS = {"finished": "[green]✔[/]", "reused": "[blue]↺[/]", "moved": "[yellow]↻[/]"}
"""What a stage's line begins with. moved: the champion has, so that a candidate is judged again."""
VARIABLE = "POLYCAST_CONSOLE"
LOSSES = "POLYCAST_LOSSES"
"""Set to 1 for the loss of each target beside that of all."""
INTERVAL = 2.0
"""Seconds between lines of losses above a bar."""


def open_console(draw: bool = True) -> None:
    """Draw this process' news, and that of the processes which it starts, unless told not to."""
    os.environ[VARIABLE] = "1" if draw else "0"
    quiet_native()
    join_console()


def quiet_native() -> None:
    """Send what native libraries write to standard error to a file: they cannot be asked not to."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    _to_native_log()


def import_tensorflow() -> None:
    """Import TensorFlow, and leave out what it says of itself meanwhile on standard error."""
    kept = os.dup(2)
    _to_native_log()
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _to_native_log() -> None:
    log = os.open(local_home() / "native.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)


def join_console() -> None:
    """Draw this process' news if the process that started it does."""
    logger = logging.getLogger("polycast")
    logger.setLevel(logging.INFO)
    if os.environ.get(VARIABLE) == "1":
        logger.addHandler(Drawing(Console(highlight=False)))


class Drawing(logging.Handler):
    """Draws stages and epochs."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.status: Status | None = None
        self.bar: Progress | None = None
        self.told = 0.0
        self.losses = os.environ.get(LOSSES) == "1"

    def emit(self, record: logging.LogRecord) -> None:
        """Draw one piece of news."""
        state = getattr(record, "state", None)
        if state == "epoch":
            self._epoch(record)
        elif state == "trial":
            self._trial(record)
        elif state == "started":
            self._started(str(getattr(record, "stage", "")))
        elif state == "told":
            self._told(record)
        elif state in MARKS:
            self._ended(record, state)

    def _told(self, record: logging.LogRecord) -> None:
        level = "warning: " if record.levelno >= logging.WARNING else ""
        line = f"  {getattr(record, 'stage', '')}: {level}{record.getMessage()}"
        self.console.print(line, markup=False, soft_wrap=True)

    def _started(self, stage: str) -> None:
        self.clear()
        if self.console.is_terminal:
            self.status = self.console.status(f"{stage} …")
            self.status.start()

    def _ended(self, record: logging.LogRecord, state: str) -> None:
        self.clear()
        seconds = getattr(record, "seconds", None)
        took = f"{seconds:6.1f} s" if seconds is not None else f"{state:<8}"
        mark = MARKS[state]
        stage = str(getattr(record, "stage", ""))
        self.console.print(f"{mark} [bold]{stage:<10}[/] [dim]{took}[/]  ", end="")
        self.console.print(getattr(record, "summary", ""), markup=False, soft_wrap=True)

    def _epoch(self, record: Any) -> None:
        if not self.console.is_terminal:
            if record.epoch == 1 or record.epoch % 10 == 0:
                self.console.print(f"  train: {record.getMessage()}", markup=False, soft_wrap=True)
                self._losses(record)
            return
        if self.bar is None:
            self.clear()
            self.bar = _bar(self.console)
            self.bar.add_task("train", total=record.epochs, which="", news="")
            self.bar.start()
        news = (
            f"loss {record.loss:.3f}, validation {record.val_loss:.3f}, {record.rate:,.0f} rows/s"
        )
        self.bar.update(self.bar.task_ids[0], completed=record.epoch, which=record.which, news=news)
        if time.monotonic() - self.told > INTERVAL:
            self.told = time.monotonic()
            self._losses(record)

    def _losses(self, record: Any) -> None:
        """Draw the loss of each target after an epoch, where that is asked."""
        if self.losses:
            line = f"    epoch {record.epoch}: {losses_line(record.losses)}"
            self.console.print(line, markup=False, style="dim", soft_wrap=True)

    def _trial(self, record: Any) -> None:
        if not self.console.is_terminal:
            self.console.print(f"  tune: {record.getMessage()}", markup=False, soft_wrap=True)
            return
        if self.bar is None:
            self.clear()
            self.bar = _trials_bar(self.console)
            self.bar.add_task("tune", total=record.of, best="", left="")
            self.bar.start()
        left = "" if record.left is None else f"about {record.left:,.0f} s left"
        self.bar.update(
            self.bar.task_ids[0], completed=record.done, best=f"best {record.best}", left=left
        )

    def clear(self) -> None:
        """Take away the spinner or the bar."""
        if self.status is not None:
            self.status.stop()
            self.status = None
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def losses_line(losses: Mapping[str, float]) -> str:
    """Return the validation loss of each target on a line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in losses.items())


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  train {task.fields[which]}"),
        BarColumn(12),
        TextColumn("{task.completed}/{task.total}, {task.fields[news]}, ≤"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )


def _trials_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  tune"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trials  {task.fields[best]}  {task.fields[left]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def clear() -> None:
    """Take away whatever moves on the terminal, before something else is printed."""
    for handler in logging.getLogger("polycast").handlers:
        if isinstance(handler, Drawing):
            handler.clear()
    sys.stdout.flush()
