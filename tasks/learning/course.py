"""Where a run of training stands: what it goes on from after a kill, and what it goes back to.

In: the trainee, its callbacks and a keeper of checkpoints. A run that is killed goes on from its
last checkpoint, with the same rows in the same order, to the same weights. A run that diverges, or
whose memory runs out, goes back to the end of its best epoch, or to its start.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

import keras

from tasks.learning.accumulation import part_size
from tasks.learning.checkpoint import Tree, Unusable, from_bytes, put_back, taken, to_bytes
from tasks.learning.errors import Diverged
from tasks.learning.news import told_by
from tasks.learning.recovery import TRIES, slow_rate, slow_schedule
from tasks.learning.trainee import Trainee

log = logging.getLogger("polycast")

TOLD = told_by("train")
Position = tuple[int, int, int]
"""How often a run went back, its epoch from 0, and the step within it: they only ever rise."""


class Keeper(Protocol):
    """Where a run's checkpoints lie."""

    def last(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of checkpoints, the last first."""
        ...

    def refuse(self, name: str, why: str) -> None:
        """Put away a checkpoint that cannot be used, and say so."""
        ...

    def due(self) -> bool:
        """Say whether it is time for another one."""
        ...

    def write(self, position: Position, content: bytes) -> None:
        """Write a checkpoint whole, in place of the last but one."""
        ...


class Course:
    """Where training stands."""

    def __init__(
        self,
        trainee: Trainee,
        callbacks: Sequence[keras.callbacks.Callback],
        keeper: Keeper | None,
        rows: str,
        parts: int,
    ) -> None:
        self.trainee, self.callbacks, self.keeper = trainee, callbacks, keeper
        self.rows = rows
        """How rows come: within an epoch, a run goes on only where they come the same way."""
        self.epoch = 0
        self.step = 0
        self.parts = parts
        self.done: list[tuple[int, dict[str, float]]] = []
        """Rows and losses of this epoch's calls so far."""
        self.logs: dict[str, float] = {}
        self.tries = 0
        self.best: float | None = None
        self.good: Tree = None

    def begin(self) -> None:
        """Go on from the last checkpoint that can be used, or start."""
        self.good = self._now()
        refused = False
        if self.keeper is None:
            return
        for name, content in self.keeper.last():
            try:
                tree = from_bytes(content)
                self._restore(tree["now"])
            except Unusable as fault:
                self.keeper.refuse(name, str(fault))
                refused = True
                continue
            self.good = tree["good"] or tree["now"]
            log.info(
                "goes on in epoch %d after %d of its steps, from checkpoint %s",
                self.epoch + 1,
                self.step,
                name,
                extra=TOLD,
            )
            return
        if refused:
            log.warning("no checkpoint can be used: training starts anew", extra=TOLD)

    @property
    def within_epoch(self) -> bool:
        """Whether a part of the epoch's steps is taken."""
        return bool(self.done)

    def call_done(self, steps: int, rows: int, losses: dict[str, float]) -> None:
        """Note steps that were taken in one call."""
        self.step += steps
        self.done.append((rows, losses))
        if self.keeper and self.keeper.due():
            self._write()

    def epoch_done(self, logs: dict[str, float]) -> None:
        """Note the end of an epoch, after its callbacks."""
        self.epoch, self.step, self.done, self.logs = self.epoch + 1, 0, [], dict(logs)
        if self.best is None or logs["val_loss"] < self.best:
            self.best = logs["val_loss"]
            self.good = self._now()
        if self.keeper and self.keeper.due():
            self._write()

    def end(self) -> None:
        """Keep the end of training: another process need not train again."""
        if self.keeper:
            self._write()

    def go_back(self, fault: Diverged) -> None:
        """Go back after a divergence, slower. Raises it where that helps no more."""
        if fault.fault is not None and fault.fault[0] == 1:
            raise fault  # The first loss of all: no learning rate has touched it.
        if self.tries == TRIES:
            fault.add(f"Training went back {TRIES} times with a tenth of the learning rate before")
            raise fault
        tries = self.tries + 1
        self._restore(self.good)
        slow_rate(self.trainee.optimizer, tries - self.tries)
        slow_schedule(self.trainee.optimizer, tries)
        self.tries = tries
        log.warning(
            "%s. Training goes back to %s with a tenth of the learning rate, time %d of at most %d",
            fault, self._where(), tries, TRIES, extra=TOLD,
        )  # fmt: skip

    def halve(self, fault: Exception, batch_size: int) -> None:
        """Go back after memory ran out, to half as many rows at a time. Raises the fault where
        they are as few as can be."""
        if part_size(batch_size, self.parts) == 1:
            raise fault
        parts, tries = 2 * self.parts, self.tries
        self._restore(self.good)
        slow_rate(self.trainee.optimizer, tries - self.tries)
        slow_schedule(self.trainee.optimizer, tries)
        self.parts, self.tries = parts, tries
        log.warning(
            "memory ran out: training goes back to %s, and takes the gradients of a batch from %d "
            "parts of at most %d rows; a batch stays %d rows",
            self._where(), parts, part_size(batch_size, parts), batch_size,
            extra=TOLD,
        )  # fmt: skip

    def _where(self) -> str:
        return f"the end of epoch {self.epoch}" if self.epoch else "its start"

    def _now(self) -> Tree:
        return {
            "epoch": self.epoch,
            "step": self.step,
            "parts": self.parts,
            "done": list(self.done),
            "rows": self.rows,
            "logs": dict(self.logs),
            "tries": self.tries,
            "best": self.best,
            "untrained": self.trainee.untrained,
            "state": taken(self.trainee, self.callbacks),
        }

    def _restore(self, tree: Tree) -> None:
        if tree["done"] and tree["rows"] != self.rows:
            raise Unusable(
                f"it stands within an epoch over {tree['rows']}, and now there are {self.rows}"
            )
        put_back(self.trainee, self.callbacks, tree["state"])
        self.epoch, self.step, self.parts = tree["epoch"], tree["step"], tree["parts"]
        self.done, self.logs = [(n, dict(found)) for n, found in tree["done"]], dict(tree["logs"])
        self.tries, self.best = tree["tries"], tree["best"]
        self.trainee.untrained = tree["untrained"]
        slow_schedule(self.trainee.optimizer, self.tries)

    def _write(self) -> None:
        now = self._now()
        at_good = not self.done and self.good["epoch"] == self.epoch
        tree = {"now": now, "good": None if at_good else self.good}
        assert self.keeper is not None
        self.keeper.write((self.tries, self.epoch, self.step), to_bytes(tree))
