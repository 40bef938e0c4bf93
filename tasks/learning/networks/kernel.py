"""A layer of kernel regression, whose rows and shares are fitted, not trained.

It computes in double precision: shares are large and of both signs, so that in single precision
what is left of their sum would be rounding.
"""

import warnings
from typing import Any

import keras
from keras import ops

from tasks.learning.errors import MissingPart
from tasks.learning.kernels import FARTHEST, Kernel
from tasks.learning.networks.parts import Fitted


def exact() -> bool:
    """Return whether the layer can compute here: JAX has no double precision unless its whole
    process has."""
    if keras.backend.backend() == "tensorflow":
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's own words that it has none
        return bool(keras.backend.standardize_dtype(ops.zeros((), "float64").dtype) == "float64")


@keras.saving.register_keras_serializable("polycast")
class KernelRegression(Fitted):
    """Inputs (rows, width) to (rows, targets), as `tasks.learning.kernels.Kernel` says."""

    def __init__(self, fitted: int, targets: int, **options: Any) -> None:
        super().__init__(**options)
        self.fitted, self.targets = fitted, targets

    def build(self, shape: Any) -> None:
        """Make the arrays of a fitted kernel. Raises MissingPart where it could only be inexact."""
        if not exact():
            raise MissingPart(
                "this network holds kernel regression, which computes in double precision, and "
                f"{keras.backend.backend()} has only single precision here: set "
                "KERAS_BACKEND=tensorflow, on which it was trained"
            )
        width = (shape[-1],)
        self.center, self.factor = (self.hold(n, width, "float64") for n in ("center", "factor"))
        self.rows = self.hold("rows", (self.fitted, *width), "float64")
        self.reach = self.hold("reach", (), "float64")
        self.shares = self.hold("shares", (self.fitted, self.targets), "float64")
        self.base = self.hold("base", (self.targets,), "float64")

    def set(self, kernel: Kernel) -> None:
        """Take a fitted kernel."""
        for name in ("center", "factor", "rows", "shares", "base"):
            getattr(self, name).assign(getattr(kernel, name))
        self.reach.assign(kernel.length * kernel.unit)

    def call(self, inputs: Any) -> Any:
        """Return targets (rows, targets)."""
        own = (ops.cast(inputs, "float64") - self.center) * self.factor
        own = ops.clip(own, -FARTHEST, FARTHEST)
        squares = ops.sum(ops.square(own), axis=1)[:, None] + ops.sum(ops.square(self.rows), axis=1)
        squares = squares - 2.0 * ops.matmul(own, ops.transpose(self.rows))
        far = ops.sqrt(5.0 * ops.maximum(squares, 0.0)) / self.reach
        near = (1.0 + far * (1.0 + far / 3.0)) * ops.exp(-far)
        return ops.cast(self.base + ops.matmul(near, self.shares), "float32")

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, targets)."""
        return (shape[0], self.targets)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "fitted": self.fitted, "targets": self.targets}
