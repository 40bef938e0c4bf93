"""The batches of several networks at once: positions of rows, as one array for all of them.

In: the order of each network's rows. Out: whole batches, as many as the shortest order has, and a
tail of batches that hold what is left: where networks have different numbers of rows, the shorter
ones are filled up with rows that do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.feeding import Order


@dataclass(frozen=True)
class Batches:
    """Positions of rows for k networks."""

    whole: Any
    """(k, batches, batch size)."""
    tail: Any
    """(k, batches, rows)."""
    counts: Any
    """How many rows of a tail's batch count: (k, batches)."""
    rows: Any
    """How many rows each network has: (k,), float32."""

    @property
    def filled(self) -> bool:
        """Whether there are rows that do not count."""
        return bool((np.asarray(self.counts) < self.tail.shape[2]).any())


def batches(orders: Sequence[Order], size: int) -> Batches:
    """Return the batches of orders of at least one row each."""
    counts = np.array([len(order) for order in orders])
    whole = int(counts.min()) // size
    left = counts - whole * size
    width = min(size, int(left.max()))
    number = -(-int(left.max()) // width) if width else 0
    starts = width * np.arange(number)
    own = np.clip(left[:, None] - starts, 0, width).astype(np.int32)
    tail = np.stack(
        [np.resize(_filled(o, whole * size, number * width), (number, width)) for o in orders]
    )
    first = np.stack([o[: whole * size].reshape(whole, size) for o in orders])
    return Batches(first, tail.astype(np.int32), own, counts.astype(np.float32))


def _filled(order: Order, start: int, length: int) -> NDArray[np.int32]:
    """Return what is left of an order from a start, filled up with its first row."""
    out = np.full(length, order[0], np.int32)
    out[: len(order) - start] = order[start:]
    return out
