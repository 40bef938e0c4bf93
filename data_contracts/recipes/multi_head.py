"""`architecture: multi_head`: a shared trunk, then a head of its own per target or group."""

from typing import Literal

from pydantic import Field

from data_contracts.columns import Loss
from data_contracts.recipes.base import Activation, PointOptions, TrunkRecipe, Width
from data_contracts.section import Items, Section


class Head(Section):
    """What one head has of its own; the recipe's where absent."""

    hidden: Items[Width] | None = None
    """The width of each of its hidden layers, first to last; [] for none."""
    activation: Activation | None = None
    """The activation after each of its hidden layers."""
    loss: Loss | None = None
    """The loss of its targets; a target's own loss comes first."""


class MultiHeadRecipe(TrunkRecipe, PointOptions):
    """A shared trunk, then a head per target or target group, each with layers of its own."""

    architecture: Literal["multi_head"]
    head_per: Literal["target", "group"] = "target"
    """group: targets of one target group or vector share a head; others have their own."""
    head_hidden: Items[Width] = ()
    """The width of each hidden layer of a head, first to last; a linear output when absent."""
    heads: dict[str, Head] = Field(default_factory=dict)
    """What single heads do otherwise, by target or, with head_per group, by group."""
