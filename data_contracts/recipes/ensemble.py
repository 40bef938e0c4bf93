"""`architecture: ensemble`: many members in one network by batch-ensembling."""

from typing import Literal

from pydantic import Field

from data_contracts.recipes.base import LayersRecipe, PointOptions


class EnsembleRecipe(LayersRecipe, PointOptions):
    """Members that share weights and differ in scales of each layer's inputs and outputs.

    Trained on the mean of the members' losses; predicts their mean and spread."""

    architecture: Literal["ensemble"]
    members: int = Field(default=16, ge=2)
    """How many members there are."""
    numeric_embedding: Literal["none", "periodic", "piecewise_linear"] = "none"
    """What each number becomes before the members. periodic: sines and cosines of learned
    frequencies. piecewise_linear: how far it reaches through each of its train quantiles."""
    label_embedding: int | None = Field(default=None, ge=1)
    """The width that each label becomes; one input per label when absent."""
