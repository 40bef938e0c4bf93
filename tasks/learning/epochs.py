"""The loop over epochs: rows in, trained weights and losses per epoch out.

What a backend compiles steps through an epoch in one call, over rows that stay on the device, or in
one call a block; a call of more than WORK is cut, so that checkpoints can be written between. The
order of an epoch is a function of the seed and the epoch's number alone. Keras' callbacks are
called as Keras calls them; one that asks for batches, every GRAIN steps.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.accumulation import out_of_memory, part_size
from tasks.learning.alike import Dial
from tasks.learning.course import Course, Keeper
from tasks.learning.errors import Diverged, MissingPart
from tasks.learning.feeding import Matrix, Order, Rows
from tasks.learning.one_by_one import OneByOne, cut, mean_losses, tensors
from tasks.learning.shards import Arrays
from tasks.learning.stacks import Epoch
from tasks.learning.trainee import Trainee

log = logging.getLogger("polycast")

GRAIN = 32
"""Steps of one call where a callback asks for batches."""
WORK = 3e12
"""Floating-point operations of one call at most: a minute or so of a few cores. It does not depend
on the time that passes, so that a run is cut in the same places whenever it is killed."""
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

Losses = dict[str, float]
"""What a Keras model measures, by name."""
Stepping = Callable[[Any, Order], Losses]
"""Takes a step, or a test, for each batch of a block's rows in their order, of which the last may
be smaller; returns the mean losses."""


class Compiler(Protocol):
    """What a backend offers to training: `tasks.backends.backend()` is one."""

    def spread(self, parallel: str) -> AbstractContextManager[int]:
        """Let what is made within be trained over all devices; yield how many these are."""
        ...

    def gradients(self, function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
        """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""
        ...

    def resident(self, matrix: Matrix) -> Any:
        """Return rows as they lie on the device."""
        ...

    def stepping(self, trainee: Trainee, batch_size: int, inputs: int, parts: int = 1) -> Stepping:
        """Return what takes training steps through resident rows, of which so many columns are
        inputs, in one compiled call; the gradients of a batch come from so many parts of it."""
        ...

    def testing(self, trainee: Trainee, batch_size: int, inputs: int) -> Stepping:
        """Return what tests resident rows in one compiled call."""
        ...

    def epoch_of_many(
        self, trainee: Trainee, places: Sequence[Dial], inputs: int, filled: bool
    ) -> Epoch:
        """Return what takes an epoch of networks of the trainee's shape in one compiled call, with
        numbers of their own at some dials; `filled` where batches hold rows that do not count."""
        ...


@dataclass(frozen=True)
class Budget:
    """How long to train, in batches of how many rows, and the seed of the order of rows.

    `parts`: how many parts of a batch its gradients come from, one after another, where memory
    holds no whole batch (`tasks.learning.accumulation`).
    """

    epochs: int
    batch_size: int
    seed: int
    parts: int = 1


def run_epochs(
    trainee: Trainee,
    train: Rows,
    validation: Rows,
    budget: Budget,
    callbacks: Sequence[keras.callbacks.Callback],
    compiler: Compiler | None,
    keeper: Keeper | None = None,
) -> dict[str, list[float]]:
    """Train a compiled Keras model; return what its callbacks were told of each epoch.

    With a keeper, go on from its last checkpoint, and write others. Without a compiler, and where
    the trainee is not to be compiled, steps are taken one by one.
    """
    build(trainee, train.some)
    steps = -(-train.count // budget.batch_size)
    told = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=trainee, epochs=budget.epochs, steps=steps,
        verbose=0,
    )  # fmt: skip
    grain = GRAIN if any(map(_asks_for_batches, callbacks)) else steps
    grain = min(grain, _steps_of_a_call(trainee, budget.batch_size))
    machine = _machine(trainee, compiler)
    work = _Work(trainee, machine, budget, told, grain, train.some)
    course = Course(trainee, told.callbacks, keeper, _way(train), budget.parts)
    trainee.stop_training = False
    told.on_train_begin()
    course.begin()
    work.compile(course.parts)
    while course.epoch < budget.epochs and not trainee.stop_training:
        try:
            work.epoch(train, validation, course)
            continue
        except Diverged as fault:
            course.go_back(fault)
        except Exception as fault:
            if not out_of_memory(fault) or isinstance(machine, OneByOne):
                raise
            if _several_hosts():
                raise MissingPart(
                    f"memory ran out on one of several hosts, which would have to go back together:"
                    f" set training.accumulate to {2 * course.parts}, which takes the gradients of "
                    "a batch from so many parts of it"
                ) from fault
            course.halve(fault, budget.batch_size)
        # Only now: a fault that is being handled holds on to what the failed call held.
        work.compile(course.parts)
    course.end()
    trainee.optimizer.finalize_variable_values(trainee.trainable_variables)
    told.on_train_end(course.logs)
    history: dict[str, list[float]] = trainee.history.history
    return history


def _several_hosts() -> bool:
    spread_over = keras.distribution.distribution()
    return spread_over is not None and spread_over.num_processes > 1


def build(trainee: Trainee, some: Arrays) -> None:
    """Make all variables: none can be made within a compiled call."""
    x, y, weight = tensors(some.matrix[:2], some.inputs.shape[1])
    trainee.compute_loss(x, y, trainee(x, training=False), weight, training=False)
    trainee.optimizer.build(trainee.trainable_variables)


def _steps_of_a_call(trainee: Trainee, batch_size: int) -> int:
    each = 6 * max(1, trainee.count_params()) * batch_size
    return max(1, int(WORK // each))


def _way(rows: Rows) -> str:
    """Say how rows come, which their order depends on."""
    most = getattr(rows, "most", None)
    return f"{rows.count} rows" + (f", about {most} at once" if most else "")


def _machine(trainee: Trainee, compiler: Compiler | None) -> "Compiler | OneByOne":
    if compiler is None:
        return OneByOne()
    if trainee.run_eagerly or not trainee.jit_compile:
        name = trainee.network.name
        log.info("the network %s is not to be compiled: its steps are taken one by one", name)
        return OneByOne()
    return compiler


class _Work:
    """The steps and tests of epochs, told to callbacks."""

    def __init__(
        self,
        trainee: Trainee,
        machine: "Compiler | OneByOne",
        budget: Budget,
        told: keras.callbacks.CallbackList,
        grain: int,
        some: Arrays,
    ) -> None:
        self.trainee, self.budget, self.told, self.grain = trainee, budget, told, grain
        self.machine, self.inputs = machine, some.inputs.shape[1]
        self.place = machine.resident

    def compile(self, parts: int) -> None:
        """Make the steps and tests anew, for batches in so many parts."""
        size = self.budget.batch_size
        self.step = self.machine.stepping(self.trainee, size, self.inputs, parts)
        self.tested = self.machine.testing(self.trainee, part_size(size, parts), self.inputs)

    def epoch(self, train: Rows, validation: Rows, course: Course) -> None:
        """Take the epoch at which training stands, or what is left of it."""
        if not course.within_epoch and not course.epoch:
            self._look(validation)
        if not course.within_epoch:
            self.told.on_epoch_begin(course.epoch)
        self.train(train, course)
        logs = mean_losses(course.done)
        logs |= {f"val_{name}": value for name, value in self.test(validation).items()}
        self.told.on_epoch_end(course.epoch, logs)
        course.epoch_done(logs)

    def _look(self, validation: Rows) -> None:
        """Note the loss before training, which tells whether a later one is beyond measure."""
        blocks = validation.blocks(self.place, self.budget.batch_size, None)
        loss = mean_losses((len(order), self.tested(block, order)) for block, order in blocks)[
            "loss"
        ]
        self.trainee.untrained = loss if np.isfinite(loss) else None

    def train(self, rows: Rows, course: Course) -> None:
        """Take an epoch's steps but for those that are taken already."""
        size, begun, taken = self.budget.batch_size, 0, course.step
        for block, order in rows.blocks(self.place, size, (self.budget.seed, course.epoch)):
            for chosen in cut(order, self.grain * size):
                steps = -(-len(chosen) // size)
                begun += steps
                if begun <= taken:
                    continue
                self.told.on_train_batch_begin(begun - steps)
                losses = self.step(block, chosen)
                self.told.on_train_batch_end(begun - 1, losses)
                course.call_done(steps, len(chosen), losses)
                if self.trainee.stop_training:
                    return

    def test(self, rows: Rows) -> Losses:
        """Return the losses of validation rows."""
        self.told.on_test_begin()
        blocks = rows.blocks(self.place, self.budget.batch_size, None)
        losses = mean_losses((len(order), self.tested(block, order)) for block, order in blocks)
        self.told.on_test_end(losses)
        return losses


def _asks_for_batches(callback: keras.callbacks.Callback) -> bool:
    plain = keras.callbacks.Callback
    return any(getattr(type(callback), hook) is not getattr(plain, hook) for hook in BATCH_HOOKS)
