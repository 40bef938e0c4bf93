"""What inputs become before the first hidden layer: numbers and labels embedded."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tasks.learning.layout import Layout

FREQUENCIES = 16
"""Sines that a number becomes, before they are mixed."""
PERIODIC_WIDTH = 4
PIECEWISE_WIDTH = 8
BINS = 16
"""Quantile bins of a piecewise-linear embedding, at most."""


@keras.saving.register_keras_serializable("polycast")
class Columns(keras.layers.Layer):
    """Some of the inputs: (rows, inputs) to (rows, positions)."""

    def __init__(self, positions: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.positions = [int(p) for p in positions]

    def call(self, inputs: Any) -> Any:
        """Return the columns at the positions."""
        return ops.take(inputs, ops.convert_to_tensor(self.positions, "int32"), axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, positions)."""
        return (*shape[:-1], len(self.positions))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "positions": self.positions}


@keras.saving.register_keras_serializable("polycast")
class PeriodicEmbedding(keras.layers.Layer):
    """Each number x as itself beside a mix of cos(2 pi (w x + b)), w and b learned.

    (rows, numbers) to (rows, numbers * (1 + width)). The form called PBLD in Holzmüller,
    Grinsztajn & Steinwart 2024 (arXiv 2407.04491), after Gorishniy, Rubachev & Babenko 2022
    (arXiv 2203.05556).
    """

    def build(self, shape: Any) -> None:
        """Make a number's frequencies, phases and mix."""
        numbers = shape[-1]
        own = (numbers, FREQUENCIES)
        self.frequency = self.add_weight(
            own, keras.initializers.RandomNormal(stddev=0.1), name="frequency"
        )
        self.phase = self.add_weight(own, keras.initializers.RandomUniform(-0.5, 0.5), name="phase")
        self.mix = self.add_weight(
            (*own, PERIODIC_WIDTH),
            keras.initializers.RandomUniform(-(FREQUENCIES**-0.5), FREQUENCIES**-0.5),
            name="mix",
        )

    def call(self, inputs: Any) -> Any:
        """Return the embedded numbers."""
        angle = 2 * np.pi * (inputs[..., None] * self.frequency + self.phase)
        mixed = ops.einsum("rnf,nfw->rnw", ops.cos(angle), self.mix)
        whole = ops.concatenate([inputs[..., None], mixed], axis=-1)
        return ops.reshape(whole, (-1, inputs.shape[-1] * (1 + PERIODIC_WIDTH)))

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, numbers * (1 + width))."""
        return (shape[0], shape[-1] * (1 + PERIODIC_WIDTH))


def quantile_edges(numbers: np.ndarray) -> np.ndarray:
    """Return the edges (numbers, BINS + 1) of bins between quantiles of rows (rows, numbers)."""
    edges: np.ndarray = np.quantile(numbers, np.linspace(0, 1, BINS + 1), axis=0).T
    return edges


def reaches(inputs: Any, edges: Any) -> Any:
    """Return how far inputs (rows, numbers) reach through each bin: 0 for one above the number, 1
    for one below, and the part reached between; float32 (rows, numbers, BINS)."""
    exact = ops.cast(inputs, "float32")[..., None]
    lower, width = edges[:, :-1], edges[:, 1:] - edges[:, :-1]
    # A bin without width, where many rows have one value, is a step at that value.
    inside = (exact - lower) / ops.where(width > 0, width, 1.0)
    step = ops.cast(exact >= lower, "float32")
    return ops.where(width > 0, ops.clip(inside, 0.0, 1.0), step)


@keras.saving.register_keras_serializable("polycast")
class PiecewiseLinearEmbedding(keras.layers.Layer):
    """How far each number reaches through each bin between its quantiles, mixed linearly.

    (rows, numbers) to (rows, numbers * (1 + width)); the number itself is kept beside it. Source:
    Gorishniy, Rubachev & Babenko 2022 (arXiv 2203.05556). `edges` is (numbers, BINS + 1).
    """

    def build(self, shape: Any) -> None:
        """Make the edges, which `fit` sets, and the mix."""
        numbers = shape[-1]
        self.edges = self.add_weight(
            (numbers, BINS + 1), "zeros", trainable=False, name="edges", autocast=False
        )
        self.mix = self.add_weight((numbers, BINS, PIECEWISE_WIDTH), "glorot_uniform", name="mix")

    def fit(self, numbers: np.ndarray) -> None:
        """Set the edges to the quantiles of train rows (rows, numbers)."""
        self.edges.assign(quantile_edges(numbers))

    def call(self, inputs: Any) -> Any:
        """Return the embedded numbers."""
        reach = reaches(inputs, self.edges)
        mixed = ops.einsum("rnb,nbw->rnw", ops.cast(reach, self.compute_dtype), self.mix)
        whole = ops.concatenate([inputs[..., None], mixed], axis=-1)
        return ops.reshape(whole, (-1, inputs.shape[-1] * (1 + PIECEWISE_WIDTH)))

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, numbers * (1 + width))."""
        return (shape[0], shape[-1] * (1 + PIECEWISE_WIDTH))


def embed(entry: Any, layout: Layout, numeric: str, label_width: int | None) -> Any:
    """Return the entry (rows, inputs) with numbers and labels embedded, the rest as it is."""
    positions = [int(p) for p in layout.numeric] if numeric != "none" else []
    labels = [b for b in layout.inputs if b.kind == "categorical"] if label_width else []
    if not positions and not labels:
        return entry
    taken = {*positions, *(p for b in labels for p in range(b.start, b.stop))}
    rest = [p for p in range(layout.width) if p not in taken]
    parts = [Columns(rest, name="plain_inputs")(entry)] if rest else []
    if positions:
        parts.append(_numbers(entry, layout, numeric, positions))
    for i, block in enumerate(labels):
        own = Columns(list(range(block.start, block.stop)), name=f"labels_{i}")(entry)
        name = f"label_embedding_{i}"
        parts.append(keras.layers.Dense(label_width, use_bias=False, name=name)(own))
    return keras.layers.Concatenate(name="embedded")(parts) if len(parts) > 1 else parts[0]


def _numbers(entry: Any, layout: Layout, kind: str, positions: list[int]) -> Any:
    own = Columns(positions, name="numbers")(entry)
    if kind == "periodic":
        return PeriodicEmbedding(name="numeric_embedding")(own)
    embedding = PiecewiseLinearEmbedding(name="numeric_embedding")
    embedded = embedding(own)
    embedding.fit(layout.train.inputs[:, positions])
    return embedded
