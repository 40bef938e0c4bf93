"""Errors of every pair of models on the rows that both answer, added up block by block.

A model that answers fewer rows than another cannot be compared with it by their own errors: the
rows it is silent on may be the easy ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CELLS = 1 << 20
"""How many errors are worked on at once."""


@dataclass(frozen=True)
class Pair:
    """One model's mae and rmse on one target, over the rows that another answers too."""

    mae: float
    rmse: float


class PairSums:
    """Sums over rows for `models` on a number of targets. Memory: 3 numbers a pair and target."""

    def __init__(self, models: Sequence[str], targets: int) -> None:
        self.models = tuple(models)
        shape = (targets, len(self.models), len(self.models))
        # [target, a, b]: over the rows that a and b answer, of the errors of a.
        self._weight, self._absolute, self._square = (np.zeros(shape) for _ in range(3))

    def add(
        self, truth: Values, answers: Mapping[str, Values], weight: Values | None = None
    ) -> None:
        """Add rows: truth (n, targets), each model's answers (n, targets), weight (n,).

        NaN in truth or answer leaves the cell out. Raises KeyError for a model without answers.
        """
        step = max(1, CELLS // (len(self.models) * max(1, truth.shape[1])))
        for start in range(0, len(truth), step):
            rows = slice(start, start + step)
            own = None if weight is None else weight[rows]
            self._add(truth[rows], {m: answers[m][rows] for m in self.models}, own)

    def _add(self, truth: Values, answers: Mapping[str, Values], weight: Values | None) -> None:
        gaps = np.empty((truth.shape[1], len(self.models), len(truth)))
        for i, model in enumerate(self.models):
            gaps[:, i] = (answers[model] - truth).T
        known = ~np.isnan(gaps)
        gaps = np.abs(np.where(known, gaps, 0.0))
        there = known.transpose(0, 2, 1).astype(np.float64)
        share = np.ones(len(truth)) if weight is None else np.where(weight > 0, weight, 0.0)
        self._weight += (known * share) @ there
        self._absolute += (gaps * share) @ there
        self._square += (gaps**2 * share) @ there

    def of(self, model: str, other: str, target: int) -> Pair | None:
        """Return the errors of `model` where `other` answers too, None where there is no row."""
        at = target, self.models.index(model), self.models.index(other)
        weight = self._weight[at]
        if not weight > 0:
            return None
        mae, mse = self._absolute[at] / weight, self._square[at] / weight
        return Pair(float(mae), float(mse) ** 0.5)
