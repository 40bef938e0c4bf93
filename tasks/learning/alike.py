"""Which networks are one program with other numbers, and so can be trained in one call.

In: compiled trainees. Out: what they must have in common, as text, and the numbers that may differ
though they are no variables: dropout, penalties, weight decay, a schedule's height and length. A
network's configuration and its variables are all that its file holds: networks whose configurations
are equal differ in their variables alone.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from tasks.learning.optimizers import Scheduled
from tasks.learning.trainee import Trainee

Dial = tuple[Any, str]
"""What holds a number, and the number's name there."""


class Unlike(TypeError):
    """A trainee of which it cannot be told what it has in common with others."""


def shape_of(trainee: Trainee) -> str:
    """Return what trainees must have in common. Raises Unlike where that cannot be told."""
    if type(trainee) is not Trainee:
        raise Unlike(f"{type(trainee).__name__} takes steps of its own")
    own = [
        _open(trainee.network.get_config()),
        _open(trainee.optimizer.get_config()) | {"name": "any"},
        type(trainee.objective).__name__,
        vars(trainee.objective),
        [(tuple(v.shape), str(v.dtype)) for v in trainee.variables],
    ]
    return json.dumps(own, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "numpy"):
        return value.numpy().tolist()
    raise Unlike(f"{type(value).__name__} cannot be compared")


_FREE = {"Dropout": ("rate",), "L1L2": ("l1", "l2"), "Scheduled": ("highest", "steps")}


def _open(config: Any) -> Any:
    """Return a configuration without the numbers that may differ."""
    if isinstance(config, list | tuple):
        return [_open(part) for part in config]
    if not isinstance(config, dict):
        return config
    free = _FREE.get(config.get("class_name", ""), ())
    out = {name: _open(value) for name, value in config.items()}
    if free:
        out["config"] = {k: v for k, v in out["config"].items() if k not in free}
    for name in ("learning_rate", "weight_decay", "adam_weight_decay"):
        if isinstance(out.get(name), float):
            out[name] = "any"
    return out


class _Penalty:
    """Keras' penalty, whose numbers may be a backend's."""

    def __init__(self, plain: Any) -> None:
        self.l1, self.l2 = plain.l1, plain.l2

    def __call__(self, kernel: Any) -> Any:
        return self.l1 * ops.sum(ops.absolute(kernel)) + self.l2 * ops.sum(ops.square(kernel))


def dials(trainee: Trainee) -> list[Dial]:
    """Return where the numbers are that may differ, in an order that is the same for all."""
    found: list[Dial] = []
    for variable in trainee.trainable_variables:
        if isinstance(variable.regularizer, keras.regularizers.L1L2 | _Penalty):
            found += [(variable.regularizer, "l1"), (variable.regularizer, "l2")]
    layers = [x for x in trainee.network._flatten_layers() if type(x) is keras.layers.Dropout]
    found += [(layer, "rate") for layer in layers]
    own = trainee.optimizer
    if isinstance(own._learning_rate, Scheduled):
        found += [(own._learning_rate, "highest"), (own._learning_rate, "steps")]
    names = ("weight_decay", "adam_weight_decay")
    return found + [(own, n) for n in names if isinstance(getattr(own, n, None), float)]


def opened(trainee: Trainee) -> list[Dial]:
    """Return the dials of a trainee, made so that a backend's numbers can be put there."""
    for variable in trainee.trainable_variables:
        if isinstance(variable.regularizer, keras.regularizers.L1L2):
            variable.regularizer = _Penalty(variable.regularizer)
    return dials(trainee)


@contextmanager
def turned(places: Sequence[Dial], values: Sequence[Any]) -> Iterator[None]:
    """Let numbers stand at dials meanwhile."""
    before = [getattr(owner, name) for owner, name in places]
    calls = []
    for (owner, name), value in zip(places, values, strict=True):
        setattr(owner, name, value)
        if name == "rate":
            calls.append(owner)
            owner.call = _dropping(owner)
    try:
        yield
    finally:
        for owner in calls:
            del owner.call
        for (owner, name), value in zip(places, before, strict=True):
            setattr(owner, name, value)


def _dropping(layer: Any) -> Any:
    """Return Keras' dropout, by the same draws, at a rate that may be a backend's number."""

    def call(inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        drawn = keras.random.uniform(
            ops.shape(inputs), dtype=inputs.dtype, seed=layer.seed_generator
        )
        keep = 1.0 - layer.rate
        return ops.where(_kept(drawn, layer.rate), inputs / keep, ops.zeros_like(inputs))

    return call


def _kept(drawn: Any, rate: Any) -> Any:
    return drawn < 1.0 - rate if keras.backend.backend() == "jax" else drawn >= rate
