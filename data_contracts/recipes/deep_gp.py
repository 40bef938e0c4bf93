"""`architecture: deep_gp`: a Gaussian process over learned features."""

from typing import Annotated, Literal

from pydantic import Field

from data_contracts.recipes.base import LayersRecipe, Width
from data_contracts.section import Items


class DeepGpRecipe(LayersRecipe):
    """A Gaussian process, by random features, over a trunk that keeps distances.

    Its uncertainty grows away from the train rows."""

    architecture: Literal["deep_gp"]
    hidden: Items[Width] = Field(default=(128, 128), min_length=1)
    """The width of each hidden layer. Each adds its input, by fixed directions where widths differ;
    distances are kept where no layer is narrower than the one before it."""
    features: int = Field(default=256, ge=8, multiple_of=2)
    """How many random features stand for the process' kernel."""
    spectral_bound: Annotated[float, Field(gt=0)] = 0.95
    """The greatest factor by which a hidden layer's kernel may stretch distances."""
