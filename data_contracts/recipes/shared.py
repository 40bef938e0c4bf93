"""`architecture: shared`: hidden layers shared by all targets, then one output layer."""

from typing import Annotated, Literal

from pydantic import Field

from data_contracts.recipes.base import BaseRecipe
from data_contracts.section import Items


class SharedRecipe(BaseRecipe):
    """Shared hidden layers and one linear output layer for all targets."""

    architecture: Literal["shared"]
    hidden: Items[Annotated[int, Field(ge=1)]] = Field(default=(128, 64), min_length=1)
    """The width of each hidden layer, first to last."""
    activation: Literal["relu", "silu", "gelu", "tanh"] = "relu"
    """The activation after each hidden layer."""
