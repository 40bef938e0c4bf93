"""Values of train rows that stand so far off, and so alone, that they must be corrupt."""

import numpy as np
from numpy.typing import NDArray

from tasks.learning.shards import Arrays

FAR = 3.0
"""How far off a corrupt value lies, in ranges of all other values of its column."""
FEWEST = 20
"""Columns of fewer known values have none."""

Cells = NDArray[np.bool_]


def corrupt_cells(rows: Arrays) -> tuple[Cells, Cells]:
    """Return which inputs (n, width) and which scaled targets (n, targets) are corrupt.

    Such a value lies far beyond all others of its column, and nothing else of its row does: what
    is really large shows in several columns. A heavy tail has none, for its values lie ever more
    thinly, but never with such a gap.
    """
    whole = np.concatenate([rows.inputs, rows.targets], axis=1)
    far = np.stack([_far(column) for column in whole.T], axis=1)
    far &= far.sum(axis=1, keepdims=True) == 1
    width = rows.inputs.shape[1]
    return far[:, :width], far[:, width:]


def without_corrupt(rows: Arrays) -> Arrays:
    """Return rows with NaN for corrupt targets."""
    return Arrays(rows.inputs, _hidden(rows.targets, corrupt_cells(rows)[1]), rows.weight)


def input_ends(rows: Arrays, beyond: float = 0.0) -> NDArray[np.float64]:
    """Return the least and the greatest of each input (2, width) that are not corrupt.

    `beyond` of the range between them is added on both sides.
    """
    own = _hidden(rows.inputs, corrupt_cells(rows)[0])
    low, high = np.nanmin(own, axis=0), np.nanmax(own, axis=0)
    reach = beyond * (high - low)
    return np.stack([low - reach, high + reach]).astype(np.float64)


def _hidden(values: NDArray[np.float32], cells: Cells) -> NDArray[np.float32]:
    return np.where(cells, np.float32(np.nan), values) if cells.any() else values


def _far(values: NDArray[np.float32]) -> Cells:
    """Return which of a column's values (n,) lie far beyond all others, one in a thousand at most
    and one at least; missing ones do not."""
    found = np.zeros(len(values), bool)
    order = np.argsort(values)[: np.isfinite(values).sum()]
    if len(order) < FEWEST:
        return found
    known = values[order].astype(np.float64)
    first, last = 0, len(known) - 1
    for _ in range(max(1, len(known) // 1000)):
        above = known[last] - known[last - 1] > FAR * (known[last - 1] - known[first]) > 0
        below = known[first + 1] - known[first] > FAR * (known[last] - known[first + 1]) > 0
        if not (above or below):
            break
        found[order[last]] |= above
        found[order[first]] |= below
        first, last = first + int(below), last - int(above)
    return found
