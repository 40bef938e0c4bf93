"""`architecture: mixture`: a mixture of Gaussians over the targets."""

from typing import Literal

from pydantic import Field

from data_contracts.recipes.base import TrunkRecipe


class MixtureRecipe(TrunkRecipe):
    """A mixture of Gaussians: each component a mean and a deviation of every target."""

    architecture: Literal["mixture"]
    components: int = Field(default=5, ge=2)
    """How many Gaussians are mixed."""
