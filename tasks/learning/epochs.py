"""The loop over epochs: rows in, trained weights and losses per epoch out.

What a backend compiles steps through an epoch in one call, over rows that stay on the device. The
order of an epoch is a function of the seed and the epoch's number alone. Keras' callbacks are
called as Keras calls them; one that asks for batches is called every GRAIN steps.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.shards import Arrays
from tasks.learning.trainee import Trainee

log = logging.getLogger("polycast")

GRAIN = 32
"""Steps of one call where a callback asks for batches."""
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

Order = NDArray[np.int32]
"""Positions of rows, in the order in which steps take them."""
Losses = dict[str, float]
"""What a Keras model measures, by name."""
Stepping = Callable[[Any, Order], Losses]
"""Takes a step for each batch of rows in their order, of which the last may be smaller; returns the
mean losses."""
Testing = Callable[[Any], Losses]
"""Returns the validation losses of rows."""


class Compiler(Protocol):
    """What a backend offers to training: `tasks.backends.backend()` is one."""

    def gradients(self, function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
        """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""
        ...

    def resident(self, rows: Arrays) -> Any:
        """Return rows as they lie on the device."""
        ...

    def stepping(self, trainee: Trainee, batch_size: int) -> Stepping:
        """Return what steps through resident rows in one compiled call."""
        ...

    def testing(self, trainee: Trainee, batch_size: int) -> Testing:
        """Return what tests resident rows in one compiled call."""
        ...


@dataclass(frozen=True)
class Budget:
    """How long to train, in batches of how many rows, and the seed of the order of rows."""

    epochs: int
    batch_size: int
    seed: int


def order_of(seed: int, epoch: int, rows: int) -> Order:
    """Return the order of rows in an epoch, counted from 0."""
    return np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)


def run_epochs(
    trainee: Trainee,
    train: Arrays,
    validation: Arrays,
    budget: Budget,
    callbacks: Sequence[keras.callbacks.Callback],
    compiler: Compiler | None,
) -> dict[str, list[float]]:
    """Train a compiled Keras model; return what its callbacks were told of each epoch.

    Without a compiler, and where the trainee is not to be compiled, steps are taken one by one.
    """
    _build(trainee, train)
    machine = _machine(trainee, compiler)
    step = machine.stepping(trainee, budget.batch_size)
    test = machine.testing(trainee, budget.batch_size)
    rows, unseen = machine.resident(train), machine.resident(validation)
    steps = -(-len(train.inputs) // budget.batch_size)
    told = keras.callbacks.CallbackList(
        list(callbacks),
        add_history=True,
        model=trainee,
        epochs=budget.epochs,
        steps=steps,
        verbose=0,
    )
    grain = GRAIN if any(map(_asks_for_batches, callbacks)) else steps
    trainee.stop_training = False
    told.on_train_begin()
    logs: Losses = {}
    for epoch in range(budget.epochs):
        told.on_epoch_begin(epoch)
        order = order_of(budget.seed, epoch, len(train.inputs))
        logs = _mean(_train(trainee, order, rows, step, told, grain, budget.batch_size))
        told.on_test_begin()
        tested = test(unseen)
        told.on_test_end(tested)
        logs |= {f"val_{name}": value for name, value in tested.items()}
        told.on_epoch_end(epoch, logs)
        if trainee.stop_training:
            break
    trainee.optimizer.finalize_variable_values(trainee.trainable_variables)
    told.on_train_end(logs)
    history: dict[str, list[float]] = trainee.history.history
    return history


def _build(trainee: Trainee, train: Arrays) -> None:
    """Make all variables: none can be made within a compiled call."""
    x, y, weight = _tensors(train, np.arange(min(2, len(train.inputs)), dtype=np.int32))
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


def _train(
    trainee: Trainee,
    order: Order,
    rows: Any,
    step: Stepping,
    told: keras.callbacks.CallbackList,
    grain: int,
    batch_size: int,
) -> Iterator[tuple[int, Losses]]:
    """Take an epoch's steps; yield the rows and losses of each call."""
    for call, chosen in enumerate(_cut(order, grain * batch_size)):
        told.on_train_batch_begin(call * grain)
        losses = step(rows, chosen)
        told.on_train_batch_end(call * grain + -(-len(chosen) // batch_size) - 1, losses)
        yield len(chosen), losses
        if trainee.stop_training:
            return


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

    def resident(self, rows: Arrays) -> Arrays:
        return rows

    def stepping(self, trainee: Trainee, batch_size: int) -> Stepping:
        def step(rows: Arrays, order: Order) -> Losses:
            return _mean(_by_batch(trainee.train_on_batch, rows, order, batch_size))

        return step

    def testing(self, trainee: Trainee, batch_size: int) -> Testing:
        def test(rows: Arrays) -> Losses:
            order = np.arange(len(rows.inputs), dtype=np.int32)
            return _mean(_by_batch(trainee.test_on_batch, rows, order, batch_size))

        return test


def _by_batch(
    call: Callable[..., Losses], rows: Arrays, order: Order, batch_size: int
) -> Iterator[tuple[int, Losses]]:
    for chosen in _cut(order, batch_size):
        x, y, weight = _tensors(rows, chosen)
        losses = call(x, y, sample_weight=weight, return_dict=True)
        yield len(chosen), {name: float(value) for name, value in losses.items()}


def _tensors(rows: Arrays, chosen: Order) -> Any:
    """Return inputs, targets and weights of some rows."""
    arrays = (rows.inputs[chosen], rows.targets[chosen], rows.weight[chosen])
    return tuple(keras.ops.convert_to_tensor(a) for a in arrays)
