"""The weights that training begins with, where they are not new ones."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import keras
from numpy.typing import NDArray

from tasks.learning.errors import Unsuitable

Weights = Sequence[NDArray[Any]] | None
"""A network's weights in its own order; None for new ones."""


def begin(network: keras.Model, start: Weights) -> None:
    """Give a network the weights to begin with. Raises Unsuitable where a shape differs."""
    if start is None:
        return
    have = [tuple(weight.shape) for weight in start]
    want = [tuple(weight.shape) for weight in network.weights]
    pairs = list(zip_longest(have, want))
    at = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    if at is not None:
        path = network.weights[at].path if at < len(want) else "none"
        came, expected = pairs[at]
        raise Unsuitable(
            f"training.start: expected weights of the shape of this contract's network; {path} is "
            f"{expected}, came {came}: features, targets or recipe have changed since. Set "
            "training.start to scratch"
        )
    network.set_weights(start)
