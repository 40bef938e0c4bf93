"""TensorFlow, the default backend."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.learning.errors import MissingPart


def use_device(device: str) -> str:
    """Let TensorFlow see `auto`, `cpu` or `gpu` alone; return the device's name.

    GPU memory is taken as it is needed. Raises MissingPart where a GPU is asked for and none
    is seen.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise MissingPart(
            "training.device is gpu, but TensorFlow sees none here: set it to auto or cpu, or "
            "install tensorflow[and-cuda] on a machine with a GPU"
        )
    if device == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", "gpu"))


def gradients(function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
    """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""
    with tf.GradientTape(persistent=True) as tape:
        parts = tf.unstack(function())
    found = [tape.gradient(part, variable.value) for part in parts]
    return np.stack([np.zeros(variable.shape) if g is None else g.numpy() for g in found])


def forward(network: Any) -> Callable[[Any], NDArray[Any]]:
    """Return a compiled function of a Keras network's inputs to its output, for any number of
    rows."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(inputs: Any) -> Any:
        return network(inputs, training=False)

    def call(inputs: Any) -> NDArray[Any]:
        return np.asarray(run(keras.tree.map_structure(tf.convert_to_tensor, inputs)))

    return call
