"""Tuning: which fields of the recipe are searched, how, and for how long."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from data_contracts.annotations import TAG
from data_contracts.section import Items, Section

Objective = Literal["error", "latency", "parameters"]
_CHOICES, _RANGE = TAG + "choices", TAG + "range"


class Range(Section):
    """Numbers between two ends, both of which may be drawn."""

    low: int | float
    """The least number."""
    high: int | float
    """The greatest number."""
    log: bool = False
    """Whether numbers are drawn evenly in their logarithm."""
    step: int | float | None = Field(default=None, gt=0)
    """The distance of one number to the next; any number between the ends when absent."""

    def steps(self) -> tuple[int | float, ...]:
        """Return the numbers from low on, a step apart. The range has a step."""
        step = self.step or 1
        count = int((self.high - self.low) / step + 1e-9) + 1
        return tuple(_rounded(self.low + i * step) for i in range(count))


def _rounded(number: int | float) -> int | float:
    """Return a number without the last digits, in which sums of steps are off."""
    return number if isinstance(number, int) else float(f"{number:.12g}")


def _form(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return _CHOICES
    return _RANGE if isinstance(value, dict | Range) else None


Choices = Annotated[Items[Any], Field(min_length=1)]
Values = Annotated[
    Annotated[Choices, Tag(_CHOICES)] | Annotated[Range, Tag(_RANGE)],
    Discriminator(
        _form,
        custom_error_type="no_values",
        custom_error_message="a list of values, or {low: …, high: …}",
    ),
]

DEFAULT_SPACE: dict[str, Any] = {
    "learning_rate": Range(low=3e-4, high=1e-2, log=True),
    "hidden": ([64], [128, 64], [256, 128], [256, 256], [512, 256]),
    "dropout": Range(low=0.0, high=0.4, step=0.1),
    "l2": (0.0, 1e-6, 1e-5, 1e-4),
    "batch_size": (64, 256, 1024),
}
"""What is searched where the contract names no space: those of the fields that the recipe has."""


class Tuning(Section):
    """The search for a better recipe, by the error on validation rows.

    `polycast tune` searches for `trials`. With `minutes`, every retrain searches that long before
    it trains, and trains with the best recipe found so far."""

    space: dict[str, Values] | None = Field(default=None, min_length=1)
    """By field of the recipe, such as learning_rate, hidden or architecture: the values to try, or
    {low: …, high: …}, with `log: true` or a `step`. A field that the drawn architecture does not
    have is left out of the trial. When absent: learning_rate, hidden, dropout, l2 and
    batch_size."""
    strategy: Literal["grid", "random", "bayesian"] = "bayesian"
    """grid: every combination in turn. random: draws that know of no other. bayesian: draws where
    earlier trials were good."""
    sampler: Literal["tpe", "gp"] = "tpe"
    """How bayesian draws. tpe: tree-structured Parzen estimators. gp: a Gaussian process, which
    needs the extra `tuning-gp`."""
    pruning: Literal["none", "median", "hyperband"] | None = None
    """Which trials are given up early. median: those that are worse after as many epochs than half
    of the others. hyperband: all but the best third, by brackets of more and more epochs. When
    absent: median, and none where error is not the only objective."""
    objectives: Items[Objective] = Field(default=("error",), min_length=1)
    """What is made small: the error alone, or the error and, against it, latency (how long a row
    takes to answer) or parameters (the network's size). The best recipe is then that of the least
    error, and the report shows which others are best in their way."""
    trials: int = Field(default=50, ge=1)
    """How many trials `polycast tune` finishes, those of an earlier call included."""
    minutes: float | None = Field(default=None, gt=0)
    """How long every retrain tunes before it trains; it does not when absent."""
    jobs: int = Field(default=1, ge=1)
    """How many trials run at once, in processes here or, with POLYCAST_ENGINE, on Ray."""
    gpus: float = Field(default=0, ge=0)
    """How many GPUs each trial gets, and sees no others; Ray alone gives them out."""
    seed: int = Field(default=0, ge=0)
    """The same seed draws the same trials, one at a time."""

    found: str | None = None
    """Where the recipe comes from, in words. A retrain that has tuned sets it; no retrain of a
    contract that has it tunes."""

    @property
    def pruned(self) -> str:
        """The pruning, chosen where the contract leaves it open."""
        return self.pruning or ("median" if self.objectives == ("error",) else "none")

    def values(self) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
        """Yield each value that the space names: where it stands, its field and itself."""
        for field, values in (self.space or {}).items():
            if isinstance(values, Range):
                for end in ("low", "high"):
                    yield ("tuning", "space", field, end), field, getattr(values, end)
            else:
                for i, value in enumerate(values):
                    yield ("tuning", "space", field, i), field, value
