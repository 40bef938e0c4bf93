"""`architecture: ensemble`: many members in one network by batch-ensembling."""

from typing import TYPE_CHECKING

import keras

from tasks.learning.layout import Layout
from tasks.learning.networks.embeddings import embed
from tasks.learning.networks.outputs import bounded, deviations
from tasks.learning.networks.point import PointArchitecture
from tasks.learning.networks.stacked import EnsembleDense, StackedDense
from tasks.learning.networks.trunk import dropped, noisy, penalty

if TYPE_CHECKING:
    from data_contracts.recipes.ensemble import EnsembleRecipe


class Ensemble(PointArchitecture):
    """Members that share each hidden layer's kernel; each has an output layer of its own."""

    def build(self, recipe: "EnsembleRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, members, targets + deviations)."""
        entry = keras.Input((layout.width,), name="inputs")
        noise = noisy(recipe, entry)
        hidden = embed(noise, layout, recipe.numeric_embedding, recipe.label_embedding)
        for i, width in enumerate(recipe.hidden):
            layer = EnsembleDense(
                recipe.members, width, random=i == 0, kernel_regularizer=penalty(recipe),
                name=f"hidden_{i}",
            )  # fmt: skip
            hidden = keras.layers.Activation(recipe.activation, name=f"activation_{i}")(
                layer(hidden)
            )
            hidden = dropped(recipe, hidden, str(i))
        count = layout.targets + len(deviations(self.losses(recipe, layout)))
        raw = StackedDense(recipe.members, count, dtype="float32", name="targets")(hidden)
        return keras.Model(entry, bounded(raw, layout), name="ensemble")
