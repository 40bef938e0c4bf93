"""`architecture: auto`: members that each hold out a fold, blended with ridge and trees."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tasks.learning.blended import blended
from tasks.learning.feeding import Held, Rows
from tasks.learning.folds import (
    FOLDS,
    IN_ORDER,
    SHUFFLED,
    ends,
    fold_of_rows,
    in_batches,
    joined,
    marked,
    without_isolated,
)  # fmt: skip
from tasks.learning.layout import Layout
from tasks.learning.networks.embeddings import Columns, PiecewiseLinearEmbedding
from tasks.learning.networks.outputs import bounded, deviations
from tasks.learning.networks.parts import Between, RobustInputs
from tasks.learning.networks.point import PointArchitecture
from tasks.learning.networks.stacked import StackedDense
from tasks.learning.networks.trunk import dropped, noisy, penalty
from tasks.learning.shards import Arrays
from tasks.learning.trainee import Trainee

if TYPE_CHECKING:
    from data_contracts.recipes.auto import AutoRecipe

FEW = 2000
"""Rows below which networks are small and steps are of few rows."""
EMBEDDED = 100
"""Numbers are embedded where there are at most so many."""
MOST_POOLED = 200_000
"""Rows above which no fold is held out: the validation rows are enough."""


class Auto(PointArchitecture):
    """Networks side by side; what is not named follows from rows, inputs and targets."""

    def build(self, recipe: "AutoRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, members, targets + deviations)."""
        entry = keras.Input((layout.width,), name="inputs")
        within = Between(name="inputs_within")
        known = noisy(recipe, within(entry))
        within.set(*np.array([ends(column) for column in layout.train.inputs.T]).T)
        robust = RobustInputs(name="robust")
        hidden = robust(known)
        robust.fit(layout.train.inputs, layout.numeric)
        hidden = _embedded(known, hidden, layout)
        members = members_of(recipe, layout)
        for i, width in enumerate(hidden_of(recipe, layout)):
            layer = StackedDense(
                members, width, kernel_regularizer=penalty(recipe), name=f"hidden_{i}"
            )
            hidden = keras.layers.Activation(recipe.activation, name=f"activation_{i}")(
                layer(hidden)
            )
            hidden = dropped(recipe, hidden, str(i))
        count = layout.targets + len(deviations(self.losses(recipe, layout)))
        raw = StackedDense(members, count, dtype="float32", name="targets")(hidden)
        return keras.Model(entry, bounded(raw, layout), name="auto")

    def trainee(self, network: keras.Model, recipe: Any, layout: Layout) -> Trainee:
        """Return members that each learn from the rows of other folds than their own."""
        return FoldedTrainee(network, self.objective(recipe, layout))

    def batch_size(self, recipe: Any, layout: Layout) -> int:
        """Return the rows of a step: a thirtieth of an epoch's, from 16 to what is named."""
        return int(min(recipe.batch_size, max(16, 2 ** round(np.log2(max(1, layout.rows) / 24)))))

    def rows(self, recipe: Any, layout: Layout, train: Rows, validation: Rows) -> tuple[Rows, Rows]:
        """Return train and validation rows together twice, with folds, where memory holds them."""
        held = isinstance(train, Held) and isinstance(validation, Held)
        if not held or not poolable(layout.split, train.count + validation.count):
            return train, validation
        whole = joined(train.some, validation.some)
        whole = Arrays(whole.inputs, without_isolated(whole.targets), whole.weight)
        folds = fold_of_rows(len(whole.weight), layout.split, recipe.seed)
        pooled = Held(in_batches(marked(whole, folds), self.batch_size(recipe, layout)))
        return pooled, pooled

    def finish(
        self, network: keras.Model, recipe: Any, layout: Layout, validation: Any
    ) -> keras.Model:
        """Return the network with ridge and trees beside it, where they are to have a share."""
        plain = all(o.activation == "linear" for o in layout.outputs)
        if not recipe.blend or not plain or set(self.losses(recipe, layout)) != {"mse"}:
            return network
        folds, rows = None, joined(layout.train, validation)
        if poolable(layout.split, len(rows.weight)) and layout.rows == len(layout.train.weight):
            folds = fold_of_rows(len(rows.weight), layout.split, recipe.seed)
        held = np.arange(len(rows.weight)) >= len(layout.train.weight)
        return blended(network, layout, rows, folds, held, recipe.seed)

    def settings(self, recipe: Any, layout: Layout) -> dict[str, Any]:
        """Return the recipe as plain data, with what was chosen."""
        chosen = {"hidden": list(hidden_of(recipe, layout)), "members": members_of(recipe, layout)}
        return super().settings(recipe, layout) | chosen


def poolable(split: str, rows: int) -> bool:
    """Return whether train and validation rows may be divided into folds anew."""
    return split in (*SHUFFLED, *IN_ORDER) and 2 * FOLDS <= rows <= MOST_POOLED


def hidden_of(recipe: "AutoRecipe", layout: Layout) -> tuple[int, ...]:
    """Return the width of each hidden layer: those named, else by the number of rows."""
    if recipe.hidden is not None:
        return tuple(recipe.hidden)
    return (128, 128, 128) if layout.rows < FEW else (256, 256, 256)


def members_of(recipe: "AutoRecipe", layout: Layout) -> int:
    """Return how many members there are: as many as named, else one for each fold."""
    return recipe.members or FOLDS


def _embedded(known: Any, robust: Any, layout: Layout) -> Any:
    """Return robust inputs beside known numbers embedded piecewise linearly; alone where many.

    Steps between bins are met exactly by numbers as they came, and by nothing computed of them.
    """
    positions = [int(p) for p in layout.numeric]
    if not 0 < len(positions) <= EMBEDDED:
        return robust
    embedding = PiecewiseLinearEmbedding(name="numeric_embedding")
    embedded = embedding(Columns(positions, name="numbers")(known))
    embedding.fit(layout.train.inputs[:, positions])
    return keras.layers.Concatenate(name="embedded")([embedded, robust])


class FoldedTrainee(Trainee):
    """Members that do not learn from rows of their own fold, where rows come with one.

    Then a validation loss is that of the mean of the members that held the row out.
    """

    def _inputs(self, inputs: Any) -> tuple[Any, Any]:
        """Return the network's inputs, and each row's fold or None."""
        if inputs.shape[-1] == self.network.input_shape[-1]:
            return inputs, None
        return inputs[:, :-1], inputs[:, -1]

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the network's raw output."""
        return self.network(self._inputs(inputs)[0], training=training)

    def losses_of(self, inputs: Any, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, parts)."""
        fold = self._inputs(inputs)[1]
        if fold is None:
            return self.objective(truth, output, training)
        output = ops.cast(output, "float32")
        members = output.shape[1]
        own = ops.cast(ops.arange(members) % FOLDS, "float32")
        held = ops.cast(ops.equal(fold[:, None], own), "float32")
        if members < FOLDS and not training:
            # A fold that no member holds out is not validated on.
            count = ops.sum(held, axis=1, keepdims=True)
            held = held / ops.maximum(count, 1.0)
            mean = ops.sum(output * held[..., None], axis=1)
            return self.objective(truth, mean, training) * (count > 0)
        if not training:
            share = held / ops.sum(held, axis=1, keepdims=True)
            return self.objective(truth, ops.sum(output * share[..., None], axis=1), training)
        return self._learned(truth, output, 1.0 - held)

    def _learned(self, truth: Any, output: Any, seen: Any) -> Any:
        """Return the mean losses (rows, parts) of the members that learn from each row."""
        members = output.shape[1]
        single = ops.reshape(output, (-1, output.shape[2]))
        losses = self.objective(ops.repeat(truth, members, axis=0), single, True)
        losses = ops.reshape(losses, (-1, members, losses.shape[-1])) * seen[..., None]
        return ops.sum(losses, axis=1) / ops.maximum(ops.sum(seen, axis=1), 1.0)[:, None]
