"""Features and targets: what each column means, its unit, its bounds and how it is scaled."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.section import Column, Items, Section, refused

MOST_COLUMNS = 10_000
"""The most columns that one vector group may stand for."""
_VECTOR = re.compile(r"(?P<name>.+)\[(?P<size>[0-9]+)\]")


def expand(name: str) -> tuple[str, ...]:
    """Return the columns that `name` stands for.

    `state_t[3]` is the vector group of `state_t_0`, `state_t_1` and `state_t_2`;
    any other name is one column. Raises ValueError on a vector group of no columns or of
    more than MOST_COLUMNS.
    """
    match = _VECTOR.fullmatch(name)
    if match is None:
        return (name,)
    digits = match["size"].lstrip("0")
    size = int(digits) if 0 < len(digits) <= 5 else 0
    if not 1 <= size <= MOST_COLUMNS:
        raise ValueError(f"1 to {MOST_COLUMNS:,} columns in brackets")
    return tuple(f"{match['name']}_{i}" for i in range(size))


def vector_name(name: str) -> str | None:
    """Return the group's name for a vector (`state_t` for `state_t[60]`), else None."""
    match = _VECTOR.fullmatch(name)
    return match["name"] if match else None


def _expandable(name: str) -> str:
    expand(name)
    return name


ColumnOrVector = Annotated[Column, AfterValidator(_expandable)]
"""A column, or a vector group such as `state_t[60]`."""

Bounds = Annotated[tuple[float, float], Field(strict=False)]


class _Measured(Section):
    description: str = ""
    """What the column holds, in a few words."""
    unit: str = ""
    """The unit its values are in, as a reader would write it."""
    bounds: Bounds | None = None
    """[least, greatest] possible value. A row outside is quarantined."""

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: Bounds | None) -> Bounds | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise refused("[least, greatest] with least < greatest", list(bounds))
        return bounds


Scaling = Literal["standard", "robust", "minmax", "quantile", "smooth_clip"]
Impute = Literal["median", "mean", "constant", "forward_fill"]


class NumericFeature(_Measured):
    """A number. Missing values are imputed, and are marked by an indicator input where train rows
    have any; infinite ones count as missing."""

    kind: Literal["numeric"] = "numeric"
    scaling: Scaling = "standard"
    """standard: mean 0, deviation 1. robust: median 0, quartile range 1. minmax: the train rows
    lie from 0 to 1. quantile: each value's place among the train rows, as a normal number.
    smooth_clip: as robust, then bent so that no value is beyond -3 or 3."""
    impute: Impute = "median"
    """What a missing value takes. median, mean: of the train rows. constant: `fill`. forward_fill:
    the last value before it in time among the rows that share the rest of the key: of the snapshot
    in training and evaluation, of the rows given in `polycast predict`. A row with no value before
    it takes the train median, and so does every row that is answered by itself."""
    fill: float | None = None
    """The number that `impute: constant` fills in, in the column's unit."""

    @model_validator(mode="after")
    def _filled(self) -> "NumericFeature":
        if self.impute == "constant" and self.fill is None:
            raise refused("fill: NUMBER beside impute: constant", None)
        if self.impute != "constant" and self.fill is not None:
            raise refused("no fill, or impute: constant", self.fill)
        return self


class CyclicFeature(_Measured):
    """A number that wraps around, such as a wind direction; becomes its sine and cosine."""

    kind: Literal["cyclic"]
    period: float = Field(gt=0)
    """The value at which the cycle closes, in the column's unit (360 for degrees)."""


class CategoricalFeature(Section):
    """A label. Becomes one input per label seen in training, and one for all others."""

    kind: Literal["categorical"]
    description: str = ""
    """What the column holds, in a few words."""
    rare: int | None = Field(default=None, ge=2)
    """Labels that fewer train rows hold share one input, beside that of labels never seen."""


class TimestampFeature(Section):
    """A point in time, from which calendar inputs are derived (in UTC)."""

    kind: Literal["timestamp"]
    description: str = ""
    """What the column holds, in a few words."""
    parts: Items[Literal["hour_of_day", "day_of_week", "day_of_year"]] = Field(min_length=1)
    """The cycles to derive; each becomes a sine and a cosine."""


Feature = Annotated[
    NumericFeature | CyclicFeature | CategoricalFeature | TimestampFeature,
    ChosenBy("kind", default="numeric"),
]

Loss = Literal["mse", "mae", "huber", "log_cosh", "quantile", "gaussian_nll", "crps"]
"""quantile: the pinball loss at `loss_level`. gaussian_nll and crps: the likelihood and the
continuous ranked probability score of a mean and a deviation, which the network learns both."""


Output = Literal["linear", "sigmoid", "softplus", "relu", "exp", "softmax"]
Transform = Literal["standard", "robust", "none", "change", "log1p", "yeo_johnson", "quantile"]


class Target(_Measured):
    """A number to predict. Empty cells are normal: they are masked, never dropped."""

    unit: str = Field(min_length=1)
    """The unit of the target; every error is reported in it."""
    output: Output = "linear"
    """What predictions may be. linear: any number. sigmoid: between the `bounds`, which it needs.
    softplus and relu: 0 or more. exp: above 0. softmax: a share of its group's `whole`."""
    transform: Transform = "standard"
    """How the target is scaled for training; predictions are scaled back. standard: mean 0,
    deviation 1. robust: median 0, quartile range 1. none: the values as they are, for those that
    the source has scaled already. change: what is learned is the difference from `present`.
    log1p: the logarithm of 1 + value. yeo_johnson: the power that makes the values most normal.
    quantile: each value's place among the train rows, as a normal number.
    Each but robust and none is then scaled to mean 0 and deviation 1."""
    loss: Loss | None = None
    """The target's own loss; the recipe's when absent."""
    loss_level: float = Field(default=0.5, gt=0, lt=1)
    """The level of the loss `quantile`."""
    loss_weight: float = Field(default=1.0, gt=0)
    """How much the target counts in the training loss."""
    group: str | None = None
    """The target group it belongs to, one of `target_groups`."""
    tier: Literal["critical", "minor"] = "critical"
    """critical: its failed rules block. minor: they warn."""
    present: ColumnOrVector | None = None
    """The column that holds the target's value at forecast time, for persistence."""

    @property
    def unit_words(self) -> str:
        """The unit as it stands behind a number: nothing for "1", that of plain numbers."""
        return "" if self.unit == "1" else self.unit


class TargetGroup(Section):
    """A named group of targets whose scores can be asked for together."""

    description: str = ""
    """What the group's targets have in common."""
    whole: float | None = Field(default=None, gt=0)
    """What the group's targets add up to when their output is softmax."""
