"""How many weights a penalty drove to nothing, layer by layer."""

from typing import Any, NamedTuple

import keras
import numpy as np

NOTHING = 1e-3
"""A weight counts as nothing below this share of its layer's largest."""


class LayerWeights(NamedTuple):
    """One layer's kernel."""

    layer: str
    weights: int
    """How many there are."""
    small: int
    """How many are below NOTHING of the layer's largest, in absolute value."""
    l1: float
    """The strength of the L1 penalty that it was trained with."""


def layer_weights(network: keras.Model) -> list[LayerWeights]:
    """Return the kernel of each layer that was trained, in the order of the network.

    Biases, scales and embeddings are no kernels. A kernel of zeros alone is all small.
    """
    kernels = [v for v in network.trainable_variables if v.path.endswith("/kernel")]
    return [_count(kernel) for kernel in kernels]


def _count(kernel: Any) -> LayerWeights:
    values = np.abs(keras.ops.convert_to_numpy(kernel).astype(np.float64))
    small = values < NOTHING * values.max() if values.any() else np.ones_like(values, bool)
    l1 = float(getattr(kernel.regularizer, "l1", 0.0))
    return LayerWeights(kernel.path.removesuffix("/kernel"), values.size, int(small.sum()), l1)
