"""Candidate against champion in every slice of the rows: in which it is shown to be worse.

Paired squared errors are added up by slice and by cluster of blocks, where a cluster is a stretch
of time, or groups or rows by chance. A slice is shown to be worse where the log of the ratio of
the errors lies above the margin by more than chance explains: Student's t over the clusters, with
Holm's correction over all slices and targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.holm import holm
from tasks.learning.paired import POWER
from tasks.learning.slice_sums import CLUSTERS, LEAST_CLUSTERS, LEAST_ROWS, ROWS, clusters_of

Values = NDArray[np.float64]
Codes = NDArray[np.integer]


@dataclass(frozen=True)
class SliceEffect:
    """The effect on one target in one slice, as in `Paired`."""

    slice: str
    target: int
    rows: int
    blocks: int
    ratio: float
    low: float
    high: float
    detectable: float
    p_worse: float
    p_better: float


class PairedSlices:
    """Sums by slice, cluster and target over rows that both models answer.

    `labels` are those of a Slicer; `blocks` is how many blocks there may be.
    """

    def __init__(self, labels: Mapping[str, Sequence[str]], targets: int, blocks: int) -> None:
        self.labels, self.blocks = labels, blocks
        self.names = [f"{name}={label}" for name, own in labels.items() for label in own]
        # Rows, weight, and the weighted squared errors of candidate and champion.
        self.sums = np.zeros((4, CLUSTERS, len(self.names), targets))

    def add(
        self,
        codes: Mapping[str, Codes],
        block: Codes,
        truth: Values,
        candidate: Values,
        champion: Values,
        weight: Values | None = None,
    ) -> None:
        """Add rows: codes by dimension (rows,), blocks (rows,), then (rows, targets) each.

        NaN in truth or an answer leaves the cell out. Raises KeyError for a dimension that is
        not there.
        """
        cluster = clusters_of(block, self.blocks)
        order = np.argsort(cluster, kind="stable")
        edges = np.flatnonzero(np.diff(cluster[order])) + 1
        for rows in (r for run in np.split(order, edges) for r in _parts(run)):
            own, other = candidate[rows] - truth[rows], champion[rows] - truth[rows]
            share = np.ones(len(rows)) if weight is None else np.maximum(weight[rows], 0.0)
            known = ~np.isnan(own + other) & (share > 0)[:, None]
            weights = known * share[:, None]
            squares = (np.where(known, gap, 0.0) ** 2 * weights for gap in (own, other))
            inside = self._inside({name: codes[name][rows] for name in self.labels}, len(rows))
            for i, cells in enumerate((known, weights, *squares)):
                self.sums[i, cluster[rows[0]]] += inside @ cells

    def _inside(self, codes: Mapping[str, Codes], rows: int) -> Values:
        """Return (slices, rows) that hold 1 where a row is in a slice."""
        inside, first = np.zeros((len(self.names), rows)), 0
        for name, labels in self.labels.items():
            known = np.flatnonzero(codes[name] >= 0)
            inside[first + codes[name][known], known] = 1.0
            first += len(labels)
        return inside

    def save(self, path: Path) -> None:
        """Write the sums as an npz file, with the slices' names."""
        np.savez_compressed(path, allow_pickle=False, names=np.array(self.names), sums=self.sums)


def load_paired_slices(path: Path) -> tuple[list[str], Values]:
    """Return the slices' names and their sums (4, clusters, slices, targets) from a file."""
    with np.load(path, allow_pickle=False) as file:
        return [str(name) for name in file["names"]], np.asarray(file["sums"])


def slice_effects(
    names: Sequence[str], sums: Values, margin: float, confidence: float
) -> list[SliceEffect]:
    """Return the effect in each slice of some rows and clusters, by target; rmse over rmse.

    `p_worse` is of "at most 1 + margin". Slices that hold all rows but a few are among them.
    """
    rows, weight, over, under = sums
    full = (weight > 0).sum(axis=0)
    totals = np.minimum(over.sum(axis=0), under.sum(axis=0))
    told = (rows.sum(axis=0) >= LEAST_ROWS) & (full >= LEAST_CLUSTERS) & (totals > 0)
    place = np.argwhere(told)
    a, b = (v[:, told] / v[:, told].sum(axis=0) for v in (over, under))
    log = 0.5 * np.log(over.sum(axis=0)[told] / under.sum(axis=0)[told])
    count = full[told]
    error = 0.5 * np.sqrt(((a - b) ** 2).sum(axis=0) * count / (count - 1))
    freedom = np.maximum(1.0, 1 / (((a + b) / 2) ** 2).sum(axis=0) - 1)  # as in the bootstrap
    found = _tested(log, error, freedom, np.log1p(margin), confidence)
    fields = {"rows": rows.sum(axis=0)[told].astype(int), "blocks": count, **found}
    return [
        SliceEffect(names[s], int(t), **{k: v[i].item() for k, v in fields.items()})
        for i, (s, t) in enumerate(place)
    ]


def _tested(
    log: Values, error: Values, freedom: Values, limit: float, confidence: float
) -> dict[str, Any]:
    """Return ratios, intervals and adjusted p-values from log ratios and their errors."""
    from scipy.special import stdtr, stdtrit

    half = error * stdtrit(freedom, (1 + confidence) / 2)
    error = np.maximum(error, 1e-12)  # the same answers differ by nothing, for sure
    return {
        "ratio": np.exp(log),
        "low": np.exp(log - half),
        "high": np.exp(log + half),
        "detectable": -np.expm1(-half - error * stdtrit(freedom, POWER)),
        "p_worse": holm(stdtr(freedom, (limit - log) / error)),
        "p_better": holm(stdtr(freedom, log / error)),
    }


def _parts(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
