"""`architecture: auto`: what wins with nothing tuned."""

from typing import Literal

from pydantic import Field

from data_contracts.recipes.base import Activation, BaseRecipe, PointOptions, Width
from data_contracts.section import Items


class AutoRecipe(BaseRecipe, PointOptions):
    """Members that each hold out a fold of the rows, blended with ridge, kernel regression
    and trees.

    Sizes that are not named follow from rows, inputs and targets."""

    architecture: Literal["auto"]
    hidden: Items[Width] | None = Field(default=None, min_length=1)
    """The width of each hidden layer, first to last; from the rows when absent."""
    activation: Activation = "silu"
    """The activation after each hidden layer."""
    members: int | None = Field(default=None, ge=1)
    """How many networks a group has, each with weights of its own; one per fold when absent."""
    blend: bool = True
    """Whether ridge, kernel regression (on TensorFlow, up to 1,500 train and validation rows) and
    trees take a share, by their errors on rows that each part held out. Only where every target
    has the loss mse and a linear output."""
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd", "nadam", "lion", "muon"] = "adamw"
    """As in every recipe."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """The optimizer's step size, where the schedule is at its highest."""
    schedule: Literal["constant", "cosine", "warm_up", "one_cycle", "cosine_log", "plateau"] = (
        "cosine"
    )
    """As in every recipe."""
    weight_decay: float = Field(default=0.02, ge=0)
    """Decoupled decay of kernels, per step, in shares of the step size."""
    dropout: float = Field(default=0.15, ge=0, lt=1)
    """The share of each hidden layer that is left out at random in a step. Only where rows
    are few: then one group of members has it, and another one has none
    and sees numbers by their quantiles besides."""
    epochs: int = Field(default=64, ge=1)
    """The most passes over the train rows."""
    batch_size: int = Field(default=256, ge=1)
    """The most rows per step: fewer where rows are few."""
    patience: int = Field(default=16, ge=1)
    """Training stops after this many epochs without a lower validation loss; the best
    epoch's weights are kept."""
