"""JAX."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.errors import MissingPart


def use_device(device: str) -> str:
    """Let JAX compute on `auto`, `cpu` or `gpu` alone; return the device's name.

    Raises MissingPart where a GPU is asked for and none is seen.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    found = jax.devices()[0]
    if device == "gpu" and found.platform != "gpu":
        raise MissingPart(
            "training.device is gpu, but JAX sees none here: set it to auto or cpu, or install "
            "jax[cuda12] on a machine with a GPU"
        )
    return "cpu" if found.platform == "cpu" else str(found.device_kind)


def gradients(function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
    """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""

    def stateless(value: Any) -> Any:
        with keras.StatelessScope(state_mapping=[(variable, value)]):
            return function()

    return np.asarray(jax.jacrev(stateless)(variable.value), np.float64)


def forward(network: Any) -> Callable[[Any], NDArray[Any]]:
    """Return a compiled function of a Keras network's inputs to its output, for any number of
    rows.

    They are filled up to the next power of two, since each number of rows is compiled anew.
    """

    @jax.jit  # type: ignore[untyped-decorator]
    def run(trained: Any, others: Any, inputs: Any) -> Any:
        return network.stateless_call(trained, others, inputs, training=False)[0]

    def call(inputs: Any) -> NDArray[Any]:
        count = len(keras.tree.flatten(inputs)[0])
        more = (1 << max(count - 1, 0).bit_length()) - count
        filled = keras.tree.map_structure(lambda a: _filled(a, more), inputs)
        trained = [v.value for v in network.trainable_variables]
        others = [v.value for v in network.non_trainable_variables]
        return np.asarray(run(trained, others, filled))[:count]

    return call


def _filled(array: NDArray[Any], more: int) -> NDArray[Any]:
    return np.pad(array, [(0, more), *[(0, 0)] * (array.ndim - 1)]) if more else array
