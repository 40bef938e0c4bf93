"""What every model answers with. Evaluation, gate, bundle and serving know nothing else of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Predictions in the targets' units, float64.

    `mean` (rows, targets) is always there; `spread` (rows, targets) is a standard deviation;
    `quantiles` maps a level to (rows, targets); `samples` is (rows, draws, targets), joint over
    the targets of a draw. Raises ValueError where a shape does not fit.
    """

    targets: tuple[str, ...]
    mean: Values
    spread: Values | None = None
    quantiles: Mapping[float, Values] | None = None
    samples: Values | None = None

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


def combine(members: Sequence[Predictions]) -> Predictions:
    """Return the mean of the members' means; a single member's predictions as they are."""
    if len(members) == 1:
        return members[0]
    mean = np.mean([m.mean for m in members], axis=0)
    return Predictions(members[0].targets, mean)
