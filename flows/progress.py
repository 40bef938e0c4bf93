"""Training as the Prefect UI shows it: a bar that follows the epochs, and what came of it."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.console import losses_line
from tasks.orchestration import artifact_key, markdown
from tasks.passing import passes
from tasks.records import Candidate

if TYPE_CHECKING:
    from types import TracebackType

INTERVAL = 2.0
"""Seconds between updates: each is a call to the server."""
MOST = 12
"""How many targets' losses are shown."""


class Progress(logging.Handler):
    """Follows the news of epochs on the `polycast` logger with a progress artifact.

    A thread of its own asks the server: training does not wait for one that is slow or away.
    """

    def __init__(self, dataset: str) -> None:
        super().__init__()
        self.dataset = dataset
        self.artifact: UUID | None = None
        self.last = 0.0
        self.begun = time.monotonic()
        self.sender = ThreadPoolExecutor(1, "progress")
        self.sent: Future[None] | None = None

    def __enter__(self) -> "Progress":
        logging.getLogger("polycast").addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        logging.getLogger("polycast").removeHandler(self)
        self.sender.shutdown(wait=error is None)
        if self.sent is not None and error is None:
            self.sent.result()
            self._show(100.0, "trained")

    def emit(self, record: logging.LogRecord) -> None:
        """Show an epoch, at most one in the interval and at a time."""
        epoch, epochs = getattr(record, "epoch", None), getattr(record, "epochs", None)
        if not epoch or not epochs or time.monotonic() - self.last < INTERVAL:
            return
        if self.sent is not None:
            if not self.sent.done():
                return
            self.sent.result()
        self.last = time.monotonic()
        part, parts = getattr(record, "part", 0), getattr(record, "parts", 1)
        done = (part + epoch / epochs) / parts
        left = (1 / done - 1) * (time.monotonic() - self.begun)
        words = [record.getMessage(), f"at most {left:,.0f} s more"]
        losses = getattr(record, "losses", {})
        words += [losses_line(dict(list(losses.items())[:MOST]))] if losses else []
        # Prefect finds the run that the artifact is of in the context.
        show = copy_context().run
        self.sent = self.sender.submit(show, self._show, 100 * done, "; ".join(words))

    def _show(self, percent: float, text: str) -> None:
        """Show how far training is. A server that is away for a while misses it: nothing more."""
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        try:
            if self.artifact is None:
                key = f"{artifact_key(self.dataset, 'training')}-progress"
                made: Any = create_progress_artifact(percent, key=key, description=text)
                self.artifact = made
            else:
                update_progress_artifact(self.artifact, percent, description=text)
        except Exception as error:
            if not passes(error):
                raise


def show_training(dataset: str, candidate: Candidate) -> None:
    """Publish what was trained as an artifact of the running flow."""
    rows = {
        "parameters": f"{candidate.parameters:,}",
        "epochs": f"{candidate.epochs}, the best {candidate.best_epoch}",
        "validation loss": f"{candidate.validation_loss:.4f}",
        "device": candidate.device,
        "seconds": f"{candidate.train_seconds:.1f}",
    }
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]
    markdown(dataset, "training", "\n".join(lines), candidate.summary)
