"""Scores of predicted distributions by target, added up block by block."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.learning.pit import BINS, pit_histogram
from tasks.learning.predictions import Predictions
from tasks.learning.row_scores import (
    Values,
    crps_of_gaussian,
    crps_of_quantiles,
    crps_of_samples,
    log_density,
    within,
)

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class DistributionScores:
    """How well one target's distributions fit the truth.

    `crps` and `width` are in the target's unit, `log_likelihood` in nats a row: None without a
    spread, and where a spread is 0. `coverage` and `width` are by `levels`; `pit` holds the
    share of truths in each of equal bins of their distribution, () where a point is all there is.
    `calibration_error` is the mean distance between coverage and level.
    """

    crps: float
    log_likelihood: float | None
    levels: tuple[float, ...]
    coverage: tuple[float, ...]
    width: tuple[float, ...]
    pit: tuple[float, ...]
    calibration_error: float | None


class DistributionSums:
    """Sums of one model's scores by target, over the rows it answers and whose truth is known.

    `levels` are those of the intervals. The score is that of the samples, where there are none
    of the quantiles, then of a Gaussian of mean and spread, then of the point.
    """

    def __init__(self, targets: int, levels: Sequence[float] = ()) -> None:
        self.levels = tuple(levels)
        self.weight, self.crps = np.zeros(targets), np.zeros(targets)
        self.density_weight, self.density = np.zeros(targets), np.zeros(targets)
        self.no_spread = np.zeros(targets, dtype=bool)
        self.intervals = np.zeros((3, targets, len(self.levels)))  # weight, inside, width
        self.pit = np.zeros((targets, BINS))

    def add(self, truth: Values, predictions: Predictions, weight: Values | None = None) -> None:
        """Add rows: `truth` (rows, targets), NaN for none, and `weight` (rows,).

        Raises ValueError where a shape does not fit, and as the scores do.
        """
        shape = (len(predictions.mean), self.weight.size)
        if truth.shape != shape or predictions.mean.shape != shape:
            came = f"{truth.shape} and {predictions.mean.shape}"
            raise ValueError(f"expected truth and mean of {shape}, came {came}")
        for i in range(self.weight.size):
            rows = np.where(_known(truth, predictions, i), 1.0 if weight is None else weight, 0.0)
            rows = np.where(rows > 0, rows, 0.0)
            kept = np.flatnonzero(rows)
            if kept.size:
                self._add(i, kept, rows, truth, predictions)
                self._add_intervals(i, rows, truth[:, i], predictions)

    def _add(
        self, i: int, kept: Rows, rows: Values, truth: Values, predictions: Predictions
    ) -> None:
        y, own = truth[kept, i], rows[kept]
        self.weight[i] += own.sum()
        self.crps[i] += own @ crps(y, predictions, i, kept)
        if predictions.spread is not None:
            spread = predictions.spread[kept, i]
            if (spread > 0).all():
                self.density_weight[i] += own.sum()
                self.density[i] += own @ log_density(y, predictions.mean[kept, i], spread)
            else:
                self.no_spread[i] = True
        found = pit_histogram(truth[:, i], predictions, i, rows)
        if found is not None:
            self.pit[i] += found

    def _add_intervals(self, i: int, rows: Values, truth: Values, predictions: Predictions) -> None:
        for at, level in enumerate(self.levels):
            if level not in (predictions.intervals or {}):
                continue
            low, high = (end[:, i] for end in (predictions.intervals or {})[level])
            own = np.where(np.isnan(high - low), 0.0, rows)
            width = np.where(own > 0, high - low, 0.0)
            self.intervals[:, i, at] += own.sum(), own @ within(truth, low, high), own @ width

    def merge(self, other: "DistributionSums") -> None:
        """Add what another has added up of other rows. Raises ValueError for other levels."""
        if self.levels != other.levels:
            raise ValueError(f"expected intervals of {self.levels}, came {other.levels}")
        self.weight += other.weight
        self.crps += other.crps
        self.density_weight += other.density_weight
        self.density += other.density
        self.no_spread |= other.no_spread
        self.intervals += other.intervals
        self.pit += other.pit

    def scores(self) -> list[DistributionScores | None]:
        """Return the scores of each target, None for one with no row."""
        return [self._scores(i) if self.weight[i] > 0 else None for i in range(self.weight.size)]

    def _scores(self, i: int) -> DistributionScores:
        weight, inside, width = self.intervals[:, i]
        some = weight > 0
        levels = np.array(self.levels)[some]
        coverage = inside[some] / weight[some]
        density = self.density_weight[i] > 0 and not self.no_spread[i]
        placed = self.pit[i].sum()
        return DistributionScores(
            crps=float(self.crps[i] / self.weight[i]),
            log_likelihood=float(self.density[i] / self.density_weight[i]) if density else None,
            levels=tuple(levels.tolist()),
            coverage=tuple(coverage.tolist()),
            width=tuple((width[some] / weight[some]).tolist()),
            pit=tuple((self.pit[i] / placed).tolist()) if placed > 0 else (),
            calibration_error=float(np.abs(coverage - levels).mean()) if levels.size else None,
        )


def crps(truth: Values, predictions: Predictions, target: int, rows: Rows) -> Values:
    """Return a target's continuous ranked probability score of some rows, whose `truth` is given.

    Of samples, else of quantiles, else of a Gaussian, else of the point: the absolute error.
    """
    if predictions.samples is not None:
        return crps_of_samples(truth, predictions.samples[rows, :, target])
    if predictions.quantiles:
        own = {q: v[rows, target] for q, v in predictions.quantiles.items()}
        return crps_of_quantiles(truth, own)
    mean = predictions.mean[rows, target]
    if predictions.spread is not None:
        return crps_of_gaussian(truth, mean, predictions.spread[rows, target])
    return np.asarray(np.abs(truth - mean), np.float64)


def _known(truth: Values, predictions: Predictions, i: int) -> NDArray[np.bool_]:
    """Return which rows (rows,) have a truth and every part of an answer."""
    total = truth[:, i] + predictions.mean[:, i]
    if predictions.samples is not None:
        total = total + predictions.samples[:, :, i].sum(axis=1)
    for quantile in (predictions.quantiles or {}).values():
        total = total + quantile[:, i]
    if predictions.spread is not None:
        total = total + predictions.spread[:, i]
    return np.asarray(~np.isnan(total))
