"""Folds of train and validation rows together, for members that each hold out one.

A row's fold is carried as one more input, the last; the network never sees it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.learning.shards import Arrays

FOLDS = 5
SHUFFLED = ("random", "stratified")
"""Kinds of split whose rows have no order: their folds are drawn at random."""
IN_ORDER = ("time", "blocked")
"""Kinds of split in order of time: their folds are stretches of rows."""


def fold_of_rows(rows: int, split: str, seed: int) -> NDArray[np.int64]:
    """Return the fold (rows,) of each row, for a kind of split in SHUFFLED or IN_ORDER."""
    if split in IN_ORDER:
        return np.arange(rows) * FOLDS // rows
    folds = np.empty(rows, np.int64)
    folds[np.random.default_rng(seed).permutation(rows)] = np.arange(rows) % FOLDS
    return folds


def joined(train: Arrays, validation: Arrays) -> Arrays:
    """Return the rows of both, in that order."""
    pairs = (
        (train.inputs, validation.inputs),
        (train.targets, validation.targets),
        (train.weight, validation.weight),
    )
    return Arrays(*(np.concatenate(pair) for pair in pairs))


def marked(rows: Arrays, folds: NDArray[np.int64]) -> Arrays:
    """Return rows with their fold as one more input, the last."""
    own = folds.astype(np.float32)[:, None]
    return Arrays(np.concatenate([rows.inputs, own], axis=1), rows.targets, rows.weight)


def in_batches(rows: Arrays, size: int) -> Arrays:
    """Return rows with some of them again, of no weight, so that batches of `size` divide them.

    A batch of another size would be compiled once more. Mean losses stay what they were.
    """
    count = len(rows.weight)
    more = np.arange(-count % size) % count
    weight = np.concatenate([rows.weight, np.zeros(len(more), np.float32)])
    weight *= np.float32(len(weight) / count)
    inputs, targets = (np.concatenate([a, a[more]]) for a in (rows.inputs, rows.targets))
    return Arrays(inputs, targets, weight)


def divisions(folds: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield, by fold, which rows are fitted on and which are held out."""
    for fold in range(FOLDS):
        held = folds == fold
        if held.any() and not held.all():
            yield ~held, held


def without_isolated(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return targets with NaN for values that stand so far off that they must be corrupt.

    Such a value lies farther from the next one than all others of its column lie apart. A heavy
    tail has none: its values lie ever more thinly, but never with such a gap.
    """
    found = targets.copy()
    for column in found.T:
        low, high = ends(column)
        column[(column < low) | (column > high)] = np.nan
    return found


def ends(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the least and the greatest of values (n,) that are not isolated; NaN is left out.

    At most one in a hundred values is isolated, and none where there are fewer than twenty.
    """
    known = np.sort(values[np.isfinite(values)].astype(np.float64))
    if not len(known):
        return -np.inf, np.inf
    first, last = 0, len(known) - 1
    for _ in range(len(known) // 100 + 1 if len(known) >= 20 else 0):
        above = known[last] - known[last - 1] > known[last - 1] - known[first] > 0
        below = known[first + 1] - known[first] > known[last] - known[first + 1] > 0
        if not (above or below):
            break
        first, last = first + int(below), last - int(above)
    return float(known[first]), float(known[last])
