"""The loop over epochs for several networks of one shape, each epoch one compiled call.

Each network has its own rows, its own order of them by its seed, its own early stopping and
schedule, and ends as it does when it is trained alone, within what rounding does. One that diverges
is left to be trained alone, with all that is done there to save it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.alike import dials, opened
from tasks.learning.batches import Batches, batches
from tasks.learning.checkpoint import Tree, Unusable, from_bytes, to_bytes
from tasks.learning.course import Keeper
from tasks.learning.epochs import Compiler
from tasks.learning.feeding import Rows, order_of
from tasks.learning.recovery import OnEpoch, exploded
from tasks.learning.shards import empty, of_matrix
from tasks.learning.stacks import Stack, Work, flat, put_best, stacked, unflat, variables_of
from tasks.learning.trainee import Trainee

if TYPE_CHECKING:
    from data_contracts.recipes.base import BaseRecipe

log = logging.getLogger("polycast")

AT_ONCE = 8192
"""Rows of one call that looks at the loss before training."""


@dataclass(eq=False)
class Course:
    """Where one network of several stands."""

    trainee: Trainee
    recipe: "BaseRecipe"
    train: Rows
    validation: Rows
    on_epoch: OnEpoch | None
    callbacks: list[keras.callbacks.Callback] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    fault: Exception | None = None
    """What whoever is told of epochs raised: it ends this network alone."""
    diverged: bool = False
    untrained: float | None = None

    def begin(self) -> None:
        """Look at the loss before training, and make what watches over it."""
        self.untrained = _untrained(self.trainee, self.validation)
        patience = self.recipe.patience
        self.callbacks = [keras.callbacks.EarlyStopping(patience=patience)]
        if self.recipe.schedule == "plateau":
            own = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=max(1, patience // 2))
            self.callbacks.append(own)
        self.trainee.stop_training = False
        for callback in self.callbacks:
            callback.set_model(self.trainee)
            callback.on_train_begin()

    @property
    def running(self) -> bool:
        """Whether there is another epoch to take."""
        over = len(self.loss) >= self.recipe.epochs or self.trainee.stop_training
        return not (over or self.diverged or self.fault)

    def epoch_done(self, loss: float, val_loss: float, tell: bool = True) -> None:
        """Note the losses of an epoch, and act on them."""
        self.diverged = exploded(loss, val_loss, self.untrained)
        if self.diverged:
            return
        epoch, logs = len(self.loss), {"loss": loss, "val_loss": val_loss}
        self.loss.append(loss)
        self.val_loss.append(val_loss)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)
        if tell and self.on_epoch:
            try:
                self.on_epoch(epoch + 1, loss, val_loss, {})
            except Exception as fault:  # whatever a teller raises to end its network
                self.fault = fault


def _untrained(trainee: Trainee, rows: Rows) -> float | None:
    matrix, inputs = rows.some.matrix, rows.some.inputs.shape[1]
    sums = 0.0
    for start in range(0, len(matrix), AT_ONCE):
        own = of_matrix(matrix[start : start + AT_ONCE], inputs)
        x, y, weight = map(keras.ops.convert_to_tensor, (own.inputs, own.targets, own.weight))
        loss = trainee.compute_loss(x, y, trainee(x, training=False), weight, training=False)
        sums += len(own.weight) * float(keras.ops.convert_to_numpy(loss))
    return sums / len(matrix) if np.isfinite(sums) else None


class Together:
    """Several networks of one shape under training."""

    def __init__(
        self, courses: Sequence[Course], compiler: Compiler, keeper: Keeper | None
    ) -> None:
        self.courses, self.keeper = courses, keeper
        self.first = courses[0].trainee
        self.stack: Stack = stacked([c.trainee for c in courses])
        self.best = np.full(len(courses), np.inf, np.float32)
        self.epoch = 0
        self.size = courses[0].recipe.batch_size
        self.rows, self.starts = _joined([c.train for c in courses], compiler.resident)
        tested = [c.validation for c in courses]
        self.other, starts = _joined(tested, compiler.resident)
        orders = [s + order_of(None, c.count) for s, c in zip(starts, tested, strict=True)]
        self.tested = batches(orders, self.size)
        values = [[getattr(*dial) for dial in dials(c.trainee)] for c in courses]
        places, self.values = [], []
        for place, own in zip(opened(self.first), np.transpose(values), strict=True):
            if (own != own[0]).any():
                places.append(place)
                self.values.append(own.astype(np.float32))
        inputs = courses[0].train.some.inputs.shape[1]
        filled = self.tested.filled or self._batches().filled
        self.take = compiler.epoch_of_many(self.first, places, inputs, filled)
        slots = variables_of(self.first)[2]
        rate = self.first.optimizer._learning_rate
        self.rate = next((i for i, v in enumerate(slots) if v is rate), None)
        """Which of the optimizer's variables is a step size that callbacks may change."""
        if self.courses[0].recipe.schedule != "plateau":
            self.rate = None

    def run(self) -> None:
        """Train until no network is running; each has then its best weights."""
        for course in self.courses:
            course.begin()
        self._restore()
        while active := [i for i, c in enumerate(self.courses) if c.running]:
            self._epoch(active)
            if self.keeper and self.keeper.due():
                self._write()
        if self.keeper:
            self._write()
        put_best([c.trainee for c in self.courses], self.stack)

    def _epoch(self, active: Sequence[int]) -> None:
        best = np.full_like(self.best, -np.inf)
        best[active] = self.best[active]  # A network that has stopped keeps what it has.
        work = Work(self.values, best, self._batches(), self.tested, active, self.rows, self.other)
        self.stack, loss, found = self.take(self.stack, work)
        self.epoch += 1
        self._give_rates()
        for i in active:
            self.best[i] = min(self.best[i], found[i])
            self.courses[i].epoch_done(float(loss[i]), float(found[i]))
        self._take_rates()

    def _batches(self) -> Batches:
        """Return the batches of the epoch at which training stands."""
        return batches(
            [
                start + order_of((c.recipe.seed, self.epoch), c.train.count)
                for start, c in zip(self.starts, self.courses, strict=True)
            ],
            self.size,
        )

    def _give_rates(self) -> None:
        """Let callbacks see the step sizes: the first trainee's variables are the compiled call's
        own."""
        if self.rate is not None:
            for course, rate in zip(self.courses, self.rates, strict=True):
                course.trainee.optimizer.learning_rate = rate

    def _take_rates(self) -> None:
        """Let the next epoch have the step sizes that callbacks have set."""
        if self.rate is not None:
            self.rates = [_rate(c.trainee) for c in self.courses]
            self.stack[2][self.rate] = np.array(self.rates, np.float32)

    def _write(self) -> None:
        assert self.keeper is not None
        tree = {
            "epoch": self.epoch,
            "stack": flat(self.stack),
            "best": self.best,
            "losses": [[c.loss, c.val_loss, c.diverged] for c in self.courses],
        }
        self.keeper.write((0, self.epoch, 0), to_bytes(tree))

    def _restore(self) -> None:
        """Go on from the last checkpoint that can be used, where there is one."""
        self.rates = [_rate(c.trainee) for c in self.courses] if self.rate is not None else []
        for name, content in self.keeper.last() if self.keeper else ():
            assert self.keeper is not None
            try:
                self._put_back(from_bytes(content))
            except Unusable as fault:
                self.keeper.refuse(name, str(fault))
                continue
            log.info("%d networks go on from epoch %d of checkpoint %s",
                     len(self.courses), self.epoch + 1, name)  # fmt: skip
            return

    def _put_back(self, tree: Tree) -> None:
        found = unflat(self.stack, tree["stack"])
        if found is None or len(tree["losses"]) != len(self.courses):
            raise Unusable("its variables are not those of these networks")
        self.stack, self.epoch, self.best = found, tree["epoch"], tree["best"]
        for course, (losses, val_losses, diverged) in zip(
            self.courses, tree["losses"], strict=True
        ):
            # What callbacks hold follows from the losses that they were told of.
            for loss, val_loss in zip(losses, val_losses, strict=True):
                course.epoch_done(loss, val_loss, tell=False)
            course.diverged = diverged
        if self.rate is not None:
            self.rates = [_rate(c.trainee) for c in self.courses]


def _rate(trainee: Trainee) -> float:
    return float(keras.ops.convert_to_numpy(trainee.optimizer.learning_rate))


def _joined(parts: Sequence[Rows], place: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """Return all rows on the device, those of one place once, and where each part's begin."""
    starts: dict[int, int] = {}
    matrices: list[NDArray[np.float32]] = []
    total = 0
    for part in parts:
        if id(part) not in starts:
            starts[id(part)] = total
            matrices.append(part.some.matrix)
            total += part.count
    whole = empty(total, matrices[0].shape[1])
    np.concatenate(matrices, out=whole)
    return place(whole), [np.int32(starts[id(part)]) for part in parts]
