"""`architecture: shared`: hidden layers shared by all targets, then one output layer."""

from typing import TYPE_CHECKING

import keras

from tasks.learning.layout import Layout
from tasks.learning.networks.outputs import bounded, deviations
from tasks.learning.networks.point import PointArchitecture
from tasks.learning.networks.trunk import trunk

if TYPE_CHECKING:
    from data_contracts.recipes.shared import SharedRecipe


class Shared(PointArchitecture):
    """Trunk and one output layer."""

    def build(self, recipe: "SharedRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, targets + deviations)."""
        entry, hidden = trunk(recipe, layout)
        count = layout.targets + len(deviations(self.losses(recipe, layout)))
        raw = keras.layers.Dense(count, dtype="float32", name="targets")(hidden)
        return keras.Model(entry, bounded(raw, layout), name="shared")
