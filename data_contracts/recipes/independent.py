"""`architecture: independent`: one network per target, trained side by side."""

from typing import Literal

from data_contracts.recipes.base import LayersRecipe, PointOptions


class IndependentRecipe(LayersRecipe, PointOptions):
    """One network per target, all of one shape, trained side by side in one call.

    No weight is shared: the control that says where sharing helps a target and where it hurts.
    All stop at the same epoch, and clip_norm takes their gradients together."""

    architecture: Literal["independent"]
