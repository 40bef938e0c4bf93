"""The rules that a candidate must pass before it is published."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.section import Items, Section, refused
from data_contracts.split import Duration

Baseline = Literal["mean", "persistence", "seasonal_persistence", "ridge", "trees"]
Metric = Literal["mae", "rmse", "r2", "rrmse", "bias", "max_error", "correlation", "crps"]
UNITLESS: tuple[Metric, ...] = ("r2", "rrmse", "correlation")
"""The metrics that are not in the target's unit."""
SLICED: tuple[Metric, ...] = ("mae", "rmse")
"""The metrics that are known of a slice."""
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""The levels of the intervals that a model answers with."""
Targets = Items[str]


class AbsoluteRule(Section):
    """A metric of each target against a fixed limit, in the target's unit."""

    rule: Literal["absolute"]
    metric: Metric = "rmse"
    """mae, rmse, max_error, crps and bias (its absolute value) are in the target's unit; r2,
    rrmse (rmse over that of the train mean) and correlation have none."""
    targets: Targets = ()
    """Targets or target groups; all when absent."""
    slice: str | None = None
    """A part of the test rows: `origin=JFK` for a label, `temp=quarter 4` for a quarter of a
    number's train values, `season=winter`, `hour=06-12`, `missing=some`; for mae and rmse. All of
    the test rows when absent."""
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
    slice: str | None = None
    """A part of the test rows, as for absolute; all of them when absent."""
    by: float = Field(default=0.0, lt=1.0)
    """0.1 asks for an error 10 % below the baseline's; a negative share allows one above."""


class ChampionRule(Section):
    """The candidate is shown to be no worse than the champion on every target, and better on
    one of them or on the whole, by a paired test on rows that neither of the two has seen.

    No worse: the error lies at most `margin` above the champion's. The whole is the geometric
    mean over the critical targets. Where there is no champion yet, or a target that it does not
    predict, train mean and persistence decide."""

    rule: Literal["champion"]
    metric: Literal["mae", "rmse"] = "rmse"
    targets: Targets = ()
    """Targets or target groups; all when absent."""
    margin: float = Field(default=0.02, ge=0.0)
    """The share by which a target's error may exceed the champion's."""


class CalibrationRule(Section):
    """Each target's intervals hold as many of the truths as they claim to."""

    rule: Literal["calibration"]
    level: float = Field(default=0.9, gt=0.0, lt=1.0)
    """The share of truths that the interval claims to hold: 0.5, 0.8, 0.9, 0.95 or 0.99."""
    within: float = Field(default=0.02, gt=0.0, lt=1.0)
    """How far the share of truths inside may be from the level."""
    targets: Targets = ()
    """Targets or target groups; all when absent."""

    @field_validator("level")
    @classmethod
    def _known(cls, level: float) -> float:
        if level not in LEVELS:
            raise refused(f"one of {', '.join(map(str, LEVELS))}", level)
        return level


class ConstraintsRule(Section):
    """The candidate's predictions break each constraint that names a target in few test rows."""

    rule: Literal["constraints"]
    at_most: int = Field(default=0, ge=0)
    """How many test rows may break a constraint, over all folds."""


class SizeRule(Section):
    """The published model takes little room."""

    rule: Literal["size"]
    at_most: float = Field(gt=0.0)
    """Megabytes on disk."""


class LatencyRule(Section):
    """The published model answers soon, timed on the machine that evaluates it."""

    rule: Literal["latency"]
    rows: Literal[1, 10_000] = 1
    """How many rows are asked for at once."""
    quantile: Literal["p50", "p99"] = "p99"
    """p99: all but one of a hundred answers come within the limit."""
    at_most: float = Field(gt=0.0)
    """Milliseconds."""


class AgeRule(Section):
    """A champion stays for some time: it was trained long enough ago to be replaced."""

    rule: Literal["age"]
    at_least: Duration
    """How long ago the champion was trained at least, such as 7d."""


Rule = Annotated[
    AbsoluteRule
    | BaselineRule
    | ChampionRule
    | CalibrationRule
    | ConstraintsRule
    | SizeRule
    | LatencyRule
    | AgeRule,
    ChosenBy("rule"),
]

DEFAULT_RULES: tuple[Rule, ...] = (
    BaselineRule(rule="baseline", baseline="mean"),
    BaselineRule(rule="baseline", baseline="persistence"),
    ChampionRule(rule="champion"),
)


class Gate(Section):
    """When a candidate may become champion."""

    rules: Items[Rule] = Field(default=DEFAULT_RULES, min_length=1)
    """Every rule is judged; a failed one blocks unless all its failing targets are minor. A
    target whose error no rule has judged must lie below train mean and persistence. When absent,
    every target must lie below those two, and pass the champion rule."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    """The confidence of every comparison with the champion, over all targets together."""
    insufficient: Literal["block", "pass", "ask"] = "block"
    """What follows where the test rows cannot tell whether the candidate is worse: block it, let
    it pass, or ask a person."""
    minor_budget: int | None = Field(default=None, ge=0)
    """How many minor targets may fail before they block together; any number when absent."""
    approval: Literal["automatic", "manual"] = "automatic"
    """Who has the last word: the rules alone, or a person once the rules are passed."""
    rebaseline: str | None = Field(default=None, min_length=1)
    """Why the champion is not compared with: a deliberate new start, for one run."""
