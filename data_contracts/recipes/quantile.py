"""`architecture: quantile`: chosen quantiles of each target, never crossing."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from data_contracts.recipes.base import TrunkRecipe
from data_contracts.section import Items, refused

Level = Annotated[float, Field(gt=0, lt=1)]


class QuantileRecipe(TrunkRecipe):
    """Quantiles of each target, in order at every row. Its point prediction is the median."""

    architecture: Literal["quantile"]
    levels: Items[Level] = (0.05, 0.25, 0.5, 0.75, 0.95)
    """The quantiles' levels, ascending, with 0.5 among them."""

    @field_validator("levels")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if 0.5 not in levels or list(levels) != sorted(set(levels)):
            raise refused("ascending levels with 0.5 among them", list(levels))
        return levels
