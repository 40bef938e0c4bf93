"""`architecture: cvae`: a conditional variational autoencoder over the targets."""

from typing import Literal

from pydantic import Field

from data_contracts.recipes.base import TrunkRecipe, Width


class CvaeRecipe(TrunkRecipe):
    """A latent vector, drawn anew for each sample, that the targets follow from together."""

    architecture: Literal["cvae"]
    latent: Width = 4
    """The width of the latent vector."""
    coder_width: Width = 64
    """The width of the two hidden layers of encoder and decoder."""
    codes: int = Field(default=4, ge=1)
    """How many latent vectors a row has in a step. More of them keep modes further apart."""
    beta: float = Field(default=1.0, gt=0)
    """The weight of the latent vector's divergence from its prior."""
    warm_up: int = Field(default=5, ge=0)
    """Epochs over which `beta` rises from nothing, so that the latent vector is not ignored."""
