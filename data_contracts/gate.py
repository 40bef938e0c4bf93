"""The rules that a candidate must pass before it is published."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.section import Items, Section, refused

Baseline = Literal["mean", "persistence", "ridge"]
Targets = Items[str]


class AbsoluteRule(Section):
    """A metric of each target against a fixed limit, in the target's unit."""

    rule: Literal["absolute"]
    metric: Literal["mae", "rmse", "r2"] = "rmse"
    targets: Targets = ()
    """Targets or target groups; all when absent."""
    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _limited(self) -> "AbsoluteRule":
        if (self.at_most is None) == (self.at_least is None):
            came = "neither" if self.at_most is None else "both"
            raise refused("either at_most or at_least", came)
        return self


class BaselineRule(Section):
    """Each target's error lies below a baseline's by at least the share `by`."""

    rule: Literal["baseline"]
    baseline: Baseline
    metric: Literal["mae", "rmse"] = "rmse"
    targets: Targets = ()
    """Targets or target groups; all when absent."""
    by: float = Field(default=0.0, lt=1.0)
    """0.1 asks for an error 10 % below the baseline's; a negative share allows one above."""


class ChampionRule(Section):
    """Each target's error lies at most `margin` above the champion's, and their geometric mean
    lies below it, so that losses within the margin cannot add up night after night.

    It passes where there is no champion yet."""

    rule: Literal["champion"]
    metric: Literal["mae", "rmse"] = "rmse"
    targets: Targets = ()
    """Targets or target groups; all when absent."""
    margin: float = Field(default=0.0, ge=0.0)
    """The share by which a target's error may exceed the champion's."""


class ConstraintsRule(Section):
    """The candidate's predictions break each constraint that names a target in few test rows."""

    rule: Literal["constraints"]
    at_most: int = Field(default=0, ge=0)
    """How many test rows may break a constraint, over all folds."""


Rule = Annotated[
    AbsoluteRule | BaselineRule | ChampionRule | ConstraintsRule,
    ChosenBy("rule"),
]

DEFAULT_RULES: tuple[Rule, ...] = (
    BaselineRule(rule="baseline", baseline="mean"),
    ChampionRule(rule="champion", margin=0.02),
)


class Gate(Section):
    """When a candidate may become champion."""

    rules: Items[Rule] = Field(default=DEFAULT_RULES, min_length=1)
    """Every rule is judged; a failed one blocks unless all its failing targets are minor."""
    approval: Literal["automatic"] = "automatic"
    """Who has the last word: the rules alone."""
