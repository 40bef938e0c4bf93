"""The values of several trainees of one shape, stacked: one row a network.

What a backend's compiled epoch takes and returns (`tasks.backends`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.batches import Batches
from tasks.learning.trainee import Trainee

Group = list[Any]
Stack = tuple[Group, Group, Group, list[Group]]
"""What is trained, what else steps carry along, the optimizer's own, and of the first two what they
were at the best epoch; arrays (k, *shape)."""
Told = tuple[Stack, NDArray[np.float32], NDArray[np.float32]]
"""A stack after an epoch, and each network's train and validation loss (k,)."""


@dataclass(frozen=True)
class Work:
    """What an epoch of k networks needs beside their stack."""

    values: Sequence[NDArray[np.float32]]
    """The networks' numbers (k,) at each dial (`tasks.learning.alike`)."""
    best: NDArray[np.float32]
    """The loss (k,) on validation rows below which the weights that a network has are kept."""
    train: Batches
    tested: Batches
    active: Sequence[int]
    """The networks that take the epoch."""
    rows: Any
    """What `train` are batches of, on the device."""
    other: Any
    """What `tested` are batches of, on the device: validation rows."""

    @property
    def own(self) -> Any:
        """What each network has for itself: arrays (k, ...)."""
        batches = [(b.whole, b.tail, b.counts, b.rows) for b in (self.train, self.tested)]
        return list(self.values), self.best, *batches

    @property
    def order(self) -> tuple[NDArray[np.int32], np.int32]:
        """The active networks, filled up to all of them, and how many they are."""
        out = np.zeros(len(self.best), np.int32)
        out[: len(self.active)] = self.active
        return out, np.int32(len(self.active))


Epoch = Callable[[Stack, Work], Told]
"""Takes an epoch of several networks in one compiled call."""


def variables_of(trainee: Trainee) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what is trained, what else steps carry along, and the optimizer's variables."""
    return (
        trainee.trainable_variables,
        trainee.non_trainable_variables,
        trainee.optimizer.variables,
    )


def averages_of(trainee: Trainee) -> list[int]:
    """Return which of the optimizer's variables are the averages of what is trained, in its order;
    none where weights are not averaged over steps."""
    own = trainee.optimizer
    if not own.use_ema:
        return []
    places = {id(v): i for i, v in enumerate(own.variables)}
    pairs = zip(own._trainable_variables, own._model_variables_moving_average, strict=True)
    averages = {id(v): places[id(average)] for v, average in pairs}
    return [averages[id(v)] for v in trainee.trainable_variables]


def stacked(trainees: Sequence[Trainee]) -> Stack:
    """Return the stack of trainees as they are."""
    groups = [
        [np.stack([_number(v) for v in same]) for same in zip(*each, strict=True)]
        for each in zip(*map(variables_of, trainees), strict=True)
    ]
    trained, others, slots = groups
    return trained, others, slots, [[v.copy() for v in trained], [v.copy() for v in others]]


def put_best(trainees: Sequence[Trainee], stack: Stack) -> None:
    """Give each trainee the weights of its best epoch."""
    kept = [[_number(v) for v in group] for group in stack[3]]
    for i, trainee in enumerate(trainees):
        for variables, group in zip(variables_of(trainee), kept, strict=False):
            for variable, value in zip(variables, group, strict=True):
                variable.assign(value[i])


def flat(stack: Stack) -> list[NDArray[Any]]:
    """Return all arrays of a stack, one after another."""
    *groups, kept = stack
    return [np.array(_number(v)) for group in [*groups, *kept] for v in group]


def unflat(like: Stack, arrays: Sequence[NDArray[Any]]) -> Stack | None:
    """Return arrays as a stack of the same shapes as another; None where they are not."""
    shapes = [tuple(v.shape) for v in flat(like)]
    if [v.shape for v in arrays] != shapes:
        return None
    rest = iter(arrays)
    trained, others, slots, *kept = ([next(rest) for _ in group] for group in [*like[:3], *like[3]])
    return trained, others, slots, kept


def _number(value: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(value))
