"""Layers of `deep_gp`: dense under a spectral bound, and random Fourier features."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

POWER_STEPS = 3
"""Power iterations a call: each carries on from the last step's."""


@keras.saving.register_keras_serializable("polycast")
class BoundedDense(keras.layers.Layer):
    """A dense layer whose kernel stretches no distance by more than `bound`.

    The kernel is divided by its largest singular value over `bound` where that is above 1. The
    value comes of power iterations (Miyato et al. 2018, arXiv 1802.05957).
    """

    def __init__(
        self, units: int, bound: float, kernel_regularizer: Any = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.units = int(units)
        self.bound = float(bound)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, shape: Any) -> None:
        """Make kernel, bias and the direction that the kernel stretches most."""
        self.kernel = self.add_weight(
            (shape[-1], self.units), "glorot_uniform", name="kernel", autocast=False,
            regularizer=self.kernel_regularizer,
        )  # fmt: skip
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.direction = self.add_weight(
            (self.units,), keras.initializers.RandomNormal(stddev=1.0), trainable=False,
            autocast=False, name="direction",
        )  # fmt: skip

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return (rows, units) for inputs (rows, width)."""
        kernel, direction = self.bounded()
        if training:
            self.direction.assign(direction)
        return ops.matmul(inputs, ops.cast(kernel, self.compute_dtype)) + self.bias

    def bounded(self) -> tuple[Any, Any]:
        """Return the kernel as it multiplies, float32, and the direction it stretches most."""
        kernel = ops.cast(self.kernel, "float32")
        direction = ops.convert_to_tensor(self.direction)
        fixed = ops.stop_gradient(kernel)
        for _ in range(POWER_STEPS):
            left = _unit(ops.sum(fixed * direction, axis=1))
            direction = _unit(ops.sum(fixed * left[:, None], axis=0))
        stretch = ops.sum(left[:, None] * kernel * direction)
        return kernel / ops.maximum(stretch / self.bound, 1.0), direction

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, units)."""
        return (*shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        own = {"units": self.units, "bound": self.bound, "kernel_regularizer": regularizer}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("polycast")
class RandomFeatures(keras.layers.Layer):
    """Sines and cosines of random directions, whose products stand for a Gaussian kernel, then
    the inputs themselves, which stand for a linear one, and 1.

    (rows, width) to (rows, features + width + 1). Directions stay as they are; the length scale,
    which divides the inputs, is learned. Beyond the train rows the waves say nothing and straight
    lines go on, with a variance that grows with the square of the distance.
    """

    def __init__(self, features: int, **options: Any) -> None:
        super().__init__(**options)
        self.features = int(features)

    def build(self, shape: Any) -> None:
        """Make the directions and the length scale's logarithm."""
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.directions = self.add_weight(
            (shape[-1], self.features // 2), normal, trainable=False, name="directions"
        )
        self.log_length = self.add_weight((), "zeros", name="log_length")

    def start(self, rows: Any) -> None:
        """Set the length scale to the median distance between train rows' hidden values."""
        rows = np.asarray(rows, dtype=np.float64)
        half = len(rows) // 2
        distances = np.linalg.norm(rows[:half] - rows[half : 2 * half], axis=1)
        length = float(np.median(distances)) if half else 0.0
        self.log_length.assign(math.log(length) if length > 0 else 0.0)

    def call(self, inputs: Any) -> Any:
        """Return the features."""
        near = ops.cast(inputs, "float32") * ops.exp(-self.log_length)
        angle = ops.matmul(near, self.directions)
        waves = ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)
        waves = waves * math.sqrt(2.0 / self.features)
        return ops.concatenate([waves, near, ops.ones_like(near[:, :1])], axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, features + width + 1)."""
        return (*shape[:-1], self.features + shape[-1] + 1)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "features": self.features}


def _unit(vector: Any) -> Any:
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), 1e-12)
