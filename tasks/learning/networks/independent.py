"""`architecture: independent`: one network per target, trained side by side in one call."""

from typing import TYPE_CHECKING

import keras

from tasks.learning.layout import Layout
from tasks.learning.networks.embeddings import Columns
from tasks.learning.networks.outputs import bounded, deviations
from tasks.learning.networks.point import PointArchitecture
from tasks.learning.networks.stacked import StackedDense
from tasks.learning.networks.trunk import dropped, noisy, penalty

if TYPE_CHECKING:
    from data_contracts.recipes.independent import IndependentRecipe


class Independent(PointArchitecture):
    """As many networks as there are targets, stacked: each layer is one product for all."""

    def build(self, recipe: "IndependentRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, targets + deviations)."""
        entry = keras.Input((layout.width,), name="inputs")
        hidden = noisy(recipe, entry)
        # Losses are averaged over targets, penalties added up over networks: by its share, each
        # network weighs its penalty against its own loss as it would alone.
        own_penalty = penalty(recipe, 1.0 / layout.targets)
        for i, width in enumerate(recipe.hidden):
            name = f"hidden_{i}"
            hidden = StackedDense(layout.targets, width, own_penalty, name=name)(hidden)
            hidden = keras.layers.Activation(recipe.activation, name=f"activation_{i}")(hidden)
            hidden = dropped(recipe, hidden, str(i))
        own = deviations(self.losses(recipe, layout))
        units = 2 if own else 1
        raw = StackedDense(layout.targets, units, dtype="float32", name="targets")(hidden)
        flat = keras.layers.Reshape((layout.targets * units,), name="side_by_side")(raw)
        if own:
            # Target by target it comes as point, deviation; points come first, as elsewhere.
            places = [2 * t for t in range(layout.targets)] + [2 * t + 1 for t in own]
            flat = Columns(places, dtype="float32", name="points_first")(flat)
        return keras.Model(entry, bounded(flat, layout), name="independent")
