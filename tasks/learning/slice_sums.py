"""Errors by slice of the rows, added up block by block, and which slices are surely worse.

A slice is surely worse where the ratio of its rmse to that of all rows has a confidence interval
above 1. Rows near in time or of one group err alike, so the interval comes from how the sums of
clusters of blocks differ (the linearized ratio of clustered samples: Särndal, Swensson & Wretman
1992, chapter 5), and its level is divided by how many slices are looked at (Bonferroni). So a
small slice must be much worse before it is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tasks.learning.cells import Values

Codes = NDArray[np.integer]

CLUSTERS = 64
"""How many clusters the blocks are put together to: enough to tell how much they differ."""
LEAST_ROWS = 30
LEAST_CLUSTERS = 8
MOST_WORST = 20
ROWS = 1 << 12
"""How many rows are worked on at once."""


def clusters_of(block: Codes, blocks: int) -> Codes:
    """Return the cluster (rows,) of each row, from its block among `blocks`."""
    return np.asarray(block) * CLUSTERS // blocks


@dataclass(frozen=True)
class SliceErrors:
    """The candidate's error on one target in one slice, in the target's unit.

    `ratio` is the rmse over that of all rows, `low` the lower end of its confidence interval,
    0 where there are too few rows or clusters to tell. `others` and `others_mae` hold the rmse
    and the mae of the other models by name, on the slice's rows that they answer.
    """

    slice: str
    target: str
    rows: int
    mae: float
    rmse: float
    ratio: float
    low: float
    others: dict[str, float] = field(default_factory=dict)
    others_mae: dict[str, float] = field(default_factory=dict)


class SliceSums:
    """Sums by slice, target and model.

    `labels` are those of a Slicer, `models` the names of all models, the candidate's first, and
    `blocks` how many blocks there may be.
    """

    def __init__(
        self,
        labels: Mapping[str, Sequence[str]],
        targets: Sequence[str],
        models: Sequence[str],
        blocks: int,
    ) -> None:
        self.labels, self.targets, self.models, self.blocks = labels, targets, models, blocks
        self.names = [f"{name}={label}" for name, own in labels.items() for label in own]
        # Last come all rows, as a slice of their own.
        shape = (len(self.names) + 1, len(models), len(targets))
        self.rows = np.zeros(shape[::2])
        self.sums = np.zeros((3, *shape))  # weight, weighted absolute and squared errors
        self.clusters = np.zeros((2, CLUSTERS, *shape[::2]))  # the candidate's weight and squares

    def add(
        self,
        codes: Mapping[str, Codes],
        block: Codes,
        truth: Values,
        answers: Mapping[str, Values],
        weight: Values | None = None,
    ) -> None:
        """Add rows: their codes by dimension, blocks, truth and each model's answers.

        Codes and blocks are (rows,), truth and answers (rows, targets), NaN for none; a model
        without answers may be left out. Raises KeyError for a dimension that is not there.
        """
        cluster = clusters_of(block, self.blocks)
        order = np.argsort(cluster, kind="stable")
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            own = None if weight is None else np.where(weight[rows] > 0, weight[rows], 0.0)
            inside = self._inside({name: codes[name][rows] for name in self.labels}, len(rows))
            for i, model in enumerate(self.models):
                if model in answers:
                    gap = answers[model][rows] - truth[rows]
                    self._add(i, inside, gap, own, cluster[rows])

    def _inside(self, codes: Mapping[str, Codes], rows: int) -> Values:
        """Return (slices, rows) that hold 1 where a row is in a slice."""
        inside = np.zeros((len(self.names) + 1, rows))
        inside[-1] = 1.0
        first = 0
        for name, labels in self.labels.items():
            some = np.flatnonzero(codes[name] >= 0)
            inside[first + codes[name][some], some] = 1.0
            first += len(labels)
        return inside

    def _add(
        self, model: int, inside: Values, gap: Values, weight: Values | None, cluster: Codes
    ) -> None:
        """Add the errors (rows, targets) of one model on rows that lie in order of cluster."""
        seen = ~np.isnan(gap)
        gap = np.where(seen, np.abs(gap), 0.0)
        weights = seen * (1.0 if weight is None else weight[:, None])
        size = weights * gap
        cells = np.stack([weights, size, size * gap])
        if model:
            self.sums[:, :, model] += inside @ cells
            return
        self.rows += inside @ (weights > 0)
        starts = np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1]])
        for start, stop in zip(starts, [*starts[1:], len(cluster)], strict=True):
            found = inside[:, start:stop] @ cells[:, start:stop]
            self.sums[:, :, 0] += found
            self.clusters[:, cluster[start]] += found[::2]

    def merge(self, other: "SliceSums") -> None:
        """Add what another has added up of other rows. Raises ValueError for other slices."""
        if (self.names, self.models) != (other.names, other.models):
            raise ValueError("expected sums of the same slices and models")
        self.rows += other.rows
        self.sums += other.sums
        self.clusters += other.clusters

    def errors(self, confidence: float = 0.95) -> list[SliceErrors]:
        """Return the errors in each slice that has rows and is not all of them, by target.

        The intervals of all slices and targets hold together at the `confidence`.
        """
        some = (self.rows[:-1] > 0) & (self.rows[:-1] < self.rows[-1])
        low = self._low(some, confidence)
        return [self._errors(s, t, float(low[s, t])) for s, t in np.argwhere(some)]

    def _errors(self, s: int, t: int, low: float) -> SliceErrors:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sums[1:, s, :, t] / self.sums[0, s, :, t]  # (2, models)
            whole = self.sums[2, -1, 0, t] / self.sums[0, -1, 0, t]
        others = [(i, m) for i, m in enumerate(self.models) if i and self.sums[0, s, i, t] > 0]
        return SliceErrors(
            slice=self.names[s],
            target=self.targets[t],
            rows=int(self.rows[s, t]),
            mae=float(mean[0, 0]),
            rmse=float(mean[1, 0] ** 0.5),
            ratio=float((mean[1, 0] / whole) ** 0.5) if whole > 0 else 1.0,
            low=low,
            others={m: float(mean[1, i] ** 0.5) for i, m in others},
            others_mae={m: float(mean[0, i]) for i, m in others},
        )

    def _low(self, some: NDArray[np.bool_], confidence: float) -> Values:
        """Return the lower end of each ratio's interval, (slices, targets)."""
        from scipy.stats import t

        weight, squares = self.clusters
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = squares.sum(axis=0) / weight.sum(axis=0)
            ratio = mean[:-1] / mean[-1]
            # By what share each cluster moves the mean squared error of its slice.
            pull = (squares / mean - weight) / weight.sum(axis=0)
            full = (weight[:, :-1] > 0).sum(axis=0)
            moved = ((pull[:, :-1] - pull[:, -1:]) ** 2).sum(axis=0)
            deviation = ratio * np.sqrt(moved * full / (full - 1))
            enough = some & (self.rows[:-1] >= LEAST_ROWS) & (full >= LEAST_CLUSTERS)
            enough &= np.isfinite(deviation)
            beyond = t.isf((1 - confidence) / max(1, int(enough.sum())), full - 1)
            return np.where(enough, np.sqrt(np.maximum(ratio - beyond * deviation, 0.0)), 0.0)


def worst(found: Sequence[SliceErrors], most: int = MOST_WORST) -> list[SliceErrors]:
    """Return the slices that are surely worse than the whole, by how sure that is."""
    sure = [s for s in found if s.low > 1]
    return sorted(sure, key=lambda s: (-s.low, s.slice, s.target))[:most]
