"""`architecture: joint_gaussian`: the mean and the covariance of all targets together."""

from typing import Literal

from pydantic import Field

from data_contracts.recipes.base import TrunkRecipe


class JointGaussianRecipe(TrunkRecipe):
    """A mean and a covariance over all targets, learned by their exact likelihood."""

    architecture: Literal["joint_gaussian"]
    covariance: Literal["auto", "full", "low_rank"] = "auto"
    """full: a Cholesky factor. low_rank: a diagonal and a few directions. auto: full up to 50
    targets, low_rank above."""
    rank: int = Field(default=8, ge=1)
    """How many directions a low_rank covariance has; at most as many as there are targets."""
