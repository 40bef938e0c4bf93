"""Scores of all targets together, added up block by block, each target over its deviation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.learning.predictions import Predictions
from tasks.learning.row_scores import (
    Values,
    chunks,
    energy_of_samples,
    lengths,
    variogram_of_samples,
    within,
)

Rows = NDArray[np.intp]

VARIOGRAM_TARGETS = 20
"""Of how many targets at most, evenly chosen, the variogram score looks at every pair."""


@dataclass(frozen=True)
class JointScores:
    """One model's scores of all targets together, in scaled units.

    `rows` have an observed target, and an answer to each one observed. `energy` is the energy
    score, of a point the mean Euclidean error. `variogram` is None where no row has two targets
    observed. `coverage` is by `levels`: the share of rows all of whose observed targets lie in
    the joint region.
    """

    rows: int
    energy: float
    variogram: float | None
    levels: tuple[float, ...]
    coverage: tuple[float, ...]


class JointSums:
    """Sums of one model's joint scores.

    `scale` (targets,) is each target's deviation in the train rows; one of none is left out.
    `levels` are those of the joint regions.
    """

    def __init__(self, scale: Values, levels: Sequence[float] = ()) -> None:
        scale = np.asarray(scale, np.float64)
        self.scale = np.where(scale > 0, scale, np.nan)
        self.levels = tuple(levels)
        used = np.flatnonzero(scale > 0)
        places = np.linspace(0, max(0, used.size - 1), min(used.size, VARIOGRAM_TARGETS))
        self.pairs_of = used[places.round().astype(np.intp)]
        self.rows = 0
        self.energy, self.variogram = np.zeros(2), np.zeros(2)  # weight, weighted score
        self.regions = np.zeros((2, len(self.levels)))  # weight, inside

    def add(self, truth: Values, predictions: Predictions, weight: Values | None = None) -> None:
        """Add rows: `truth` (rows, targets), NaN for none, and `weight` (rows,).

        Raises ValueError where a shape does not fit, and for fewer than 2 samples.
        """
        shape = (len(predictions.mean), self.scale.size)
        if truth.shape != shape or predictions.mean.shape != shape:
            came = f"{truth.shape} and {predictions.mean.shape}"
            raise ValueError(f"expected truth and mean of {shape}, came {came}")
        known = ~np.isnan(truth / self.scale)
        answered = (~np.isnan(_answers(predictions)) | ~known).all(axis=1)
        kept = known.any(axis=1) & answered
        if weight is not None:
            kept &= weight > 0
        rows = np.flatnonzero(kept)
        own = np.ones(len(truth)) if weight is None else weight
        draws = 1 if predictions.samples is None else predictions.samples.shape[1]
        for part in chunks(rows.size, draws * truth.shape[1]):
            self._add(rows[part], truth[rows[part]], predictions, own[rows[part]])
        self.rows += rows.size

    def _add(self, rows: Rows, truth: Values, predictions: Predictions, weight: Values) -> None:
        scaled = truth / self.scale
        if predictions.samples is None:
            drawn = (predictions.mean[rows] / self.scale)[:, None]
            known = ~np.isnan(scaled)
            energy = lengths(np.where(known, drawn[:, 0] - np.where(known, scaled, 0.0), 0.0))
        else:
            drawn = predictions.samples[rows] / self.scale
            energy = energy_of_samples(scaled, drawn)
        self.energy += weight.sum(), weight @ energy
        found = variogram_of_samples(scaled[:, self.pairs_of], drawn[:, :, self.pairs_of])
        paired = ~np.isnan(found)
        self.variogram += weight[paired].sum(), weight[paired] @ found[paired]
        for at, level in enumerate(self.levels):
            if level in (predictions.regions or {}):
                low, high = (end[rows] for end in (predictions.regions or {})[level])
                self._add_region(at, truth, low, high, weight)

    def _add_region(self, at: int, truth: Values, low: Values, high: Values, own: Values) -> None:
        """Add the rows that have an end for each observed target."""
        known = ~np.isnan(truth)
        whole = (~np.isnan(high - low) | ~known).all(axis=1)
        inside = (within(truth, low, high) | ~known).all(axis=1)
        self.regions[:, at] += own[whole].sum(), own[whole & inside].sum()

    def merge(self, other: "JointSums") -> None:
        """Add what another has added up of other rows. Raises ValueError for other levels."""
        if self.levels != other.levels:
            raise ValueError(f"expected regions of {self.levels}, came {other.levels}")
        self.rows += other.rows
        self.energy += other.energy
        self.variogram += other.variogram
        self.regions += other.regions

    def scores(self) -> JointScores | None:
        """Return the scores, None where no row is left."""
        if not self.rows:
            return None
        weight, inside = self.regions
        some = weight > 0
        pairs = self.variogram[0] > 0
        return JointScores(
            rows=self.rows,
            energy=float(self.energy[1] / self.energy[0]),
            variogram=float(self.variogram[1] / self.variogram[0]) if pairs else None,
            levels=tuple(np.array(self.levels)[some].tolist()),
            coverage=tuple((inside[some] / weight[some]).tolist()),
        )


def _answers(predictions: Predictions) -> Values:
    """Return (rows, targets) that are NaN where a part of the joint answer is unknown."""
    if predictions.samples is None:
        return predictions.mean
    return np.asarray(predictions.mean + predictions.samples.sum(axis=1))
