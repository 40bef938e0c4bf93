"""What every model answers with. Evaluation, gate, bundle and serving know nothing else of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Interval = tuple[Values, Values]
"""The lower and the upper end, each (rows, targets), in units."""


@dataclass(frozen=True)
class Predictions:
    """Predictions in the targets' units, float64.

    `mean` (rows, targets) is always there; `spread` (rows, targets) is a standard deviation;
    `quantiles` maps a level to (rows, targets); `samples` is (rows, draws, targets), joint over
    the targets of a draw. `intervals` maps a level to each target's conformal interval, `regions`
    to intervals that hold all targets of a row at once at that level. Raises ValueError where a
    shape does not fit.
    """

    targets: tuple[str, ...]
    mean: Values
    spread: Values | None = None
    quantiles: Mapping[float, Values] | None = None
    samples: Values | None = None
    intervals: Mapping[float, Interval] | None = None
    regions: Mapping[float, Interval] | None = None

    def __post_init__(self) -> None:
        shape = self.mean.shape
        if len(shape) != 2 or shape[1] != len(self.targets):
            raise ValueError(f"mean: expected (rows, {len(self.targets)}), came {shape}")
        others = {"spread": self.spread} | {
            f"quantile {q}": v for q, v in (self.quantiles or {}).items()
        }
        for name, values in others.items():
            if values is not None and values.shape != shape:
                raise ValueError(f"{name}: expected {shape}, came {values.shape}")
        if self.samples is not None and self.samples.shape[::2] != shape:
            expected = f"({shape[0]}, draws, {shape[1]})"
            raise ValueError(f"samples: expected {expected}, came {self.samples.shape}")

    def frame(self) -> Any:
        """Return the mean as a pandas frame with one column a target."""
        import pandas as pd

        return pd.DataFrame(self.mean, columns=list(self.targets))


@dataclass(frozen=True)
class Answer:
    """What a network says of rows, in scaled space.

    `mean` (rows, targets) is the point prediction. `spread`, `quantiles` and `samples` as in
    Predictions. `members` (rows, members, targets) are point predictions of which the answer is
    the mean, taken after each is in units.
    """

    mean: Values
    spread: Values | None = None
    quantiles: Mapping[float, Values] | None = None
    samples: Values | None = None
    members: Values | None = None


def stacked(parts: Sequence[Predictions]) -> Predictions:
    """Return one model's predictions of one run of rows after another as those of all of them."""
    first = parts[0]
    if len(parts) == 1:
        return first

    def joined(each: Sequence[Values | None]) -> Values | None:
        known = [v for v in each if v is not None]
        return np.concatenate(known) if known else None

    by_level = [p.quantiles or {} for p in parts]
    return Predictions(
        first.targets,
        np.concatenate([p.mean for p in parts]),
        joined([p.spread for p in parts]),
        first.quantiles and {q: np.concatenate([v[q] for v in by_level]) for q in first.quantiles},
        joined([p.samples for p in parts]),
    )


def combine(members: Sequence[Predictions]) -> Predictions:
    """Return what members say together; a single member's predictions as they are.

    Means and quantiles are averaged; a deviation holds the members' differences too; samples
    are taken from each member in turn.
    """
    if len(members) == 1:
        return members[0]
    mean = np.mean([m.mean for m in members], axis=0)
    spreads = [m.spread for m in members if m.spread is not None]
    among = np.var([m.mean for m in members], axis=0)
    spread = np.sqrt(np.mean(np.square(spreads), axis=0) + among) if spreads else None
    levels = members[0].quantiles or {}
    quantiles = {q: np.mean([(m.quantiles or {})[q] for m in members], axis=0) for q in levels}
    drawn = [
        m.samples[:, i :: len(members)] for i, m in enumerate(members) if m.samples is not None
    ]
    samples = np.concatenate(drawn, axis=1) if drawn else None
    return Predictions(members[0].targets, mean, spread, quantiles or None, samples)
