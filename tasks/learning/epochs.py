"""The loop over epochs: rows in, trained weights and losses per epoch out.

What a backend compiles steps through an epoch in one call, over rows that stay on the device, or in
one call a block. The order of an epoch is a function of the seed and the epoch's number alone.
Keras' callbacks are called as Keras calls them; one that asks for batches, every GRAIN steps.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.feeding import Matrix, Order, Rows
from tasks.learning.shards import Arrays, of_matrix
from tasks.learning.trainee import Trainee

log = logging.getLogger("polycast")

GRAIN = 32
"""Steps of one call where a callback asks for batches."""
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

Losses = dict[str, float]
"""What a Keras model measures, by name."""
Stepping = Callable[[Any, Order], Losses]
"""Takes a step, or a test, for each batch of a block's rows in their order, of which the last may
be smaller; returns the mean losses."""


class Compiler(Protocol):
    """What a backend offers to training: `tasks.backends.backend()` is one."""

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
) -> dict[str, list[float]]:
    """Train a compiled Keras model; return what its callbacks were told of each epoch.

    Without a compiler, and where the trainee is not to be compiled, steps are taken one by one.
    """
    _build(trainee, train.some)
    steps = -(-train.count // budget.batch_size)
    told = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=trainee, epochs=budget.epochs, steps=steps,
        verbose=0,
    )  # fmt: skip
    grain = GRAIN if any(map(_asks_for_batches, callbacks)) else steps
    work = _Work(trainee, _machine(trainee, compiler), budget, told, grain, train.some)
    trainee.stop_training = False
    told.on_train_begin()
    logs: Losses = {}
    for epoch in range(budget.epochs):
        told.on_epoch_begin(epoch)
        logs = _mean(work.train(train, epoch))
        logs |= {f"val_{name}": value for name, value in work.test(validation).items()}
        told.on_epoch_end(epoch, logs)
        if trainee.stop_training:
            break
    trainee.optimizer.finalize_variable_values(trainee.trainable_variables)
    told.on_train_end(logs)
    history: dict[str, list[float]] = trainee.history.history
    return history


def _build(trainee: Trainee, some: Arrays) -> None:
    """Make all variables: none can be made within a compiled call."""
    x, y, weight = _tensors(some.matrix[:2], some.inputs.shape[1])
    trainee.compute_loss(x, y, trainee(x, training=False), weight, training=False)
    trainee.optimizer.build(trainee.trainable_variables)


def _machine(trainee: Trainee, compiler: Compiler | None) -> "Compiler | _OneByOne":
    if compiler is None:
        return _OneByOne()
    if trainee.run_eagerly or not trainee.jit_compile:
        name = trainee.network.name
        log.info("the network %s is not to be compiled: its steps are taken one by one", name)
        return _OneByOne()
    return compiler


class _Work:
    """The steps and tests of epochs, told to callbacks."""

    def __init__(
        self,
        trainee: Trainee,
        machine: "Compiler | _OneByOne",
        budget: Budget,
        told: keras.callbacks.CallbackList,
        grain: int,
        some: Arrays,
    ) -> None:
        self.trainee, self.budget, self.told, self.grain = trainee, budget, told, grain
        self.place = machine.resident
        inputs, size = some.inputs.shape[1], budget.batch_size
        self.step = machine.stepping(trainee, size, inputs, budget.parts)
        self.tested = machine.testing(trainee, size, inputs)

    def train(self, rows: Rows, epoch: int) -> Iterator[tuple[int, Losses]]:
        """Take an epoch's steps; yield the rows and losses of each call."""
        size, begun = self.budget.batch_size, 0
        for block, order in rows.blocks(self.place, size, (self.budget.seed, epoch)):
            for chosen in _cut(order, self.grain * size):
                self.told.on_train_batch_begin(begun)
                losses = self.step(block, chosen)
                begun += -(-len(chosen) // size)
                self.told.on_train_batch_end(begun - 1, losses)
                yield len(chosen), losses
                if self.trainee.stop_training:
                    return

    def test(self, rows: Rows) -> Losses:
        """Return the losses of validation rows."""
        self.told.on_test_begin()
        blocks = rows.blocks(self.place, self.budget.batch_size, None)
        losses = _mean((len(order), self.tested(block, order)) for block, order in blocks)
        self.told.on_test_end(losses)
        return losses


def _cut(order: Order, most: int) -> Iterator[Order]:
    """Yield the order in parts of `most` rows, of which the last may be smaller."""
    for start in range(0, len(order), most):
        yield order[start : start + most]


def _mean(parts: Iterable[tuple[int, Losses]]) -> Losses:
    """Return the mean losses of parts of so many rows."""
    sizes, losses = zip(*parts, strict=True)
    return {k: float(np.average([p[k] for p in losses], weights=sizes)) for k in losses[0]}


def _asks_for_batches(callback: keras.callbacks.Callback) -> bool:
    plain = keras.callbacks.Callback
    return any(getattr(type(callback), hook) is not getattr(plain, hook) for hook in BATCH_HOOKS)


class _OneByOne:
    """Steps and tests that Keras takes one by one."""

    def resident(self, matrix: Matrix) -> Matrix:
        return matrix

    def stepping(self, trainee: Trainee, batch_size: int, inputs: int, parts: int = 1) -> Stepping:
        if parts > 1:
            raise ValueError("a batch in parts needs a backend that compiles its steps")
        return _by_batch(trainee.train_on_batch, batch_size, inputs)

    def testing(self, trainee: Trainee, batch_size: int, inputs: int) -> Stepping:
        return _by_batch(trainee.test_on_batch, batch_size, inputs)


def _by_batch(take: Callable[..., Losses], batch_size: int, inputs: int) -> Stepping:
    def parts(rows: Matrix, order: Order) -> Iterator[tuple[int, Losses]]:
        for chosen in _cut(order, batch_size):
            x, y, weight = _tensors(rows[chosen], inputs)
            losses = take(x, y, sample_weight=weight, return_dict=True)
            yield len(chosen), {name: float(value) for name, value in losses.items()}

    return lambda rows, order: _mean(parts(rows, order))


def _tensors(rows: Matrix, inputs: int) -> Any:
    """Return inputs, targets and weights of rows."""
    arrays = of_matrix(rows, inputs)
    return tuple(
        keras.ops.convert_to_tensor(a) for a in (arrays.inputs, arrays.targets, arrays.weight)
    )
