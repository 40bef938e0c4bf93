"""`architecture: shared`: hidden layers shared by all targets, then one output layer."""

from typing import Literal

from data_contracts.recipes.base import PointOptions, TrunkRecipe


class SharedRecipe(TrunkRecipe, PointOptions):
    """Shared hidden layers and one output layer for all targets."""

    architecture: Literal["shared"]
