"""Layers of many networks at once: copies side by side, or members that share weights."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("polycast")
class StackedDense(keras.layers.Layer):
    """A dense layer per copy, all in one product: nothing is shared between copies.

    (rows, inputs) or (rows, copies, inputs) to (rows, copies, units).
    """

    def __init__(
        self, copies: int, units: int, kernel_regularizer: Any = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.copies, self.units = copies, units
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, shape: Any) -> None:
        """Make a kernel and a bias per copy, each drawn as a dense layer's of its own is."""
        limit = (6.0 / (shape[-1] + self.units)) ** 0.5
        self.kernel = self.add_weight(
            (self.copies, shape[-1], self.units),
            keras.initializers.RandomUniform(-limit, limit),
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.bias = self.add_weight((self.copies, self.units), "zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return each copy's output."""
        form = "ri,ciu->rcu" if len(inputs.shape) == 2 else "rci,ciu->rcu"
        return ops.einsum(form, inputs, self.kernel) + self.bias

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, copies, units)."""
        return (shape[0], self.copies, self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        own = {"copies": self.copies, "units": self.units, "kernel_regularizer": regularizer}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("polycast")
class EnsembleDense(keras.layers.Layer):
    """A dense layer whose members share a kernel and scale what goes in and what comes out.

    ((x * r) W) * s + b with r, s and b per member (batch-ensembling: Wen, Tran & Ba 2020, arXiv
    2002.06715, in the form of TabM: Gorishniy, Kotelnikov & Babenko 2024, arXiv 2410.24210).
    (rows, inputs) or (rows, members, inputs) to (rows, members, units). With `random`, r starts
    as random signs, which tells the members apart; else all scales start as 1.
    """

    def __init__(
        self,
        members: int,
        units: int,
        random: bool = False,
        kernel_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.members, self.units, self.random = members, units, random
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, shape: Any) -> None:
        """Make the kernel and the members' scales and biases."""
        self.kernel = self.add_weight(
            (shape[-1], self.units),
            "glorot_uniform",
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.entry_scale = self.add_weight((self.members, shape[-1]), "ones", name="entry_scale")
        if self.random:
            draw = keras.random.uniform((self.members, shape[-1]), -1.0, 1.0)
            self.entry_scale.assign(ops.where(draw < 0, -1.0, 1.0))
        self.exit_scale = self.add_weight((self.members, self.units), "ones", name="exit_scale")
        self.bias = self.add_weight((self.members, self.units), "zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return each member's output."""
        own = inputs[:, None, :] if len(inputs.shape) == 2 else inputs
        return ops.matmul(own * self.entry_scale, self.kernel) * self.exit_scale + self.bias

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, members, units)."""
        return (shape[0], self.members, self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        regularizer = keras.regularizers.serialize(self.kernel_regularizer)
        own = {"members": self.members, "units": self.units, "random": self.random}
        return {**super().get_config(), **own, "kernel_regularizer": regularizer}
