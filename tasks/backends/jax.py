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
