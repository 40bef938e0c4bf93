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


def repeated(rows: Arrays, times: int) -> Arrays:
    """Return rows several times, one time after the other."""
    if times == 1:
        return rows
    inputs, targets = (np.tile(a, (times, 1)) for a in (rows.inputs, rows.targets))
    return Arrays(inputs, targets, np.tile(rows.weight, times))


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
