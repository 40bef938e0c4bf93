"""Divide rows in order of time for cross-validation, so that each fold tests in all seasons.

In: the moments of rows and a blocked split. Out: the split of each row in each fold. Stretches of
as many rows are dealt to the folds in turn, and a fold tests on its own, whole. Its other
stretches are dealt to train and validation. Two rows of different splits are further apart than
the gap: beside a test stretch, the other rows within the gap are left out, before it and after it.
"""

import numpy as np
from numpy.typing import NDArray

from data_contracts.split import BlockedSplit, dealt, seconds

Labels = NDArray[np.object_]
Float = NDArray[np.float64]


def blocked_folds(
    moments: Float, split: BlockedSplit, share: float, folds: int, repeats: int
) -> tuple[list[Labels], Labels]:
    """Return each row's split (n,) in each fold, repeat by repeat, and in a refit on all rows.

    moments: of each row (n,), in seconds. share: validation's, of the rows that are not tested.
    A repeat moves all cuts by a part of a stretch, so that its first and last one are shorter.
    """
    found = []
    for repeat in range(repeats):
        cuts = _cuts(moments, split.blocks, repeat / repeats)
        fold = np.arange(cuts.size + 1) % folds
        found += [
            _labels(moments, cuts, fold == i, share, seconds(split.gap)) for i in range(folds)
        ]
    cuts = _cuts(moments, split.blocks, 0.0)
    none = np.zeros(cuts.size + 1, bool)
    return found, _labels(moments, cuts, none, share, seconds(split.gap))


def _cuts(moments: Float, blocks: int, moved: float) -> Float:
    """Return the last moment of each stretch but the last: rows of one moment share a stretch."""
    ends = np.arange(1, blocks + bool(moved)) - moved
    places = np.ceil(ends / blocks * moments.size - 1e-9).astype(np.int64) - 1
    cuts: Float = np.unique(np.sort(moments)[np.maximum(places, 0)])
    return np.asarray(cuts[cuts < moments.max()])


def _labels(
    moments: Float, cuts: Float, test: NDArray[np.bool_], share: float, gap: float
) -> Labels:
    """Return each row's split where `test` (stretches,) are the stretches that are tested."""
    kinds = np.where(test, "test", "train").astype(object)
    rest = np.flatnonzero(~test)
    own = dealt({"train": 1 - share, "validation": share}, rest.size)
    kinds[rest] = own
    if "validation" not in own:
        kinds[rest[-1:]] = "validation"
    labels = kinds[np.searchsorted(cuts, moments)]
    for cut, earlier, later in zip(cuts, kinds[:-1], kinds[1:], strict=True):
        if earlier != later:
            start = cut - gap if later == "test" else cut
            near = (moments > start) & (moments <= cut + gap)
            labels[near & (labels != "test")] = "gap"
    return labels
