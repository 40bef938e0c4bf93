"""What every recipe has, whatever its architecture."""

from typing import Literal

from pydantic import Field

from data_contracts.columns import Loss
from data_contracts.section import Section


class BaseRecipe(Section):
    """How a network learns: loss, optimizer, budget and seed."""

    loss: Loss = "mse"
    """The loss of every target that names none; missing cells never count."""
    optimizer: Literal["adam"] = "adam"
    """The rule that turns gradients into steps."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The optimizer's step size."""
    epochs: int = Field(default=100, ge=1)
    """The most passes over the train rows."""
    batch_size: int = Field(default=256, ge=1)
    """Rows per step."""
    patience: int = Field(default=10, ge=1)
    """Training stops after this many epochs without a lower validation loss; the best
    epoch's weights are kept."""
    seed: int = Field(default=0, ge=0)
    """The same seed gives the same weights."""
