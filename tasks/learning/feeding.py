"""Rows as steps take them: blocks on the device, each with the order of its rows.

Rows in memory are one block that stays on the device. Rows on disk come block by block: a block is
many short stretches of the file, chosen at random and shuffled within, and read in a thread while
the block before is trained on. The order of an epoch is a function of its seed alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.learning.shards import Arrays, empty

Matrix = NDArray[np.float32]
"""Inputs, targets and weight of rows, side by side: (n, inputs + targets + 1)."""
Order = NDArray[np.int32]
"""Positions of a block's rows, in the order in which steps take them."""
Seed = Sequence[int] | None
"""The seed of an order; None for the order of the file."""
Place = Callable[[Matrix], Any]
"""Puts a matrix on the device."""

STRETCH = 4096
"""The fewest rows that are read at once."""


class Rows(Protocol):
    """Rows to train or to validate on."""

    @property
    def count(self) -> int:
        """How many rows there are."""
        ...

    @property
    def some(self) -> Arrays:
        """All rows where they are in memory, else an even choice of them."""
        ...

    def blocks(self, place: Place, batch_size: int, seed: Seed) -> Iterator[tuple[Any, Order]]:
        """Yield blocks of rows on the device and their orders.

        Every block but the last holds whole batches. A block holds until the next is asked for.
        """
        ...


@dataclass
class Held:
    """Rows in memory: one block, placed once."""

    some: Arrays
    _placed: Any = field(default=None, repr=False)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.some.weight)

    def blocks(self, place: Place, batch_size: int, seed: Seed) -> Iterator[tuple[Any, Order]]:
        """Yield all rows."""
        if self._placed is None:
            self._placed = place(self.some.matrix)
        yield self._placed, order_of(seed, self.count)


@dataclass(frozen=True)
class OnDisk:
    """Rows in a file of float32, row after row (`tasks.learning.shards.spread`)."""

    file: Path
    count: int
    some: Arrays
    most: int
    """About how many rows memory holds at once, in two blocks."""

    def blocks(self, place: Place, batch_size: int, seed: Seed) -> Iterator[tuple[Any, Order]]:
        """Yield blocks of rows, reading ahead into the room of the block before the last."""
        plan = self._plan(batch_size, seed)
        columns = self.some.inputs.shape[1] + self.some.targets.shape[1] + 1
        rooms = [empty(max(map(_count, plan)), columns) for _ in plan[:2]]
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._read, plan[0], rooms[0], place)
            for number, stretches in enumerate(plan):
                block = ahead.result()
                if number + 1 < len(plan):
                    room = rooms[(number + 1) % 2]
                    ahead = reader.submit(self._read, plan[number + 1], room, place)
                own = None if seed is None else [*seed, number + 1]
                yield block, order_of(own, _count(stretches))

    def _plan(self, batch_size: int, seed: Seed) -> list[list[tuple[int, int]]]:
        """Return the stretches of each block. A stretch that holds no whole batches comes last."""
        rows = batch_size * -(-STRETCH // batch_size)
        whole = self.count // rows
        order = order_of(seed, whole)
        stretches = [(int(i) * rows, int(i + 1) * rows) for i in order]
        if self.count % rows:
            stretches.append((whole * rows, self.count))
        each = max(1, self.most // 2 // rows)
        return [sorted(stretches[i : i + each]) for i in range(0, len(stretches), each)]

    def _read(self, stretches: Sequence[tuple[int, int]], room: Matrix, place: Place) -> Any:
        """Return a block on the device, read into a room."""
        out, columns = room[: _count(stretches)], room.shape[1]
        done = 0
        with self.file.open("rb", buffering=0) as source:
            for start, stop in stretches:
                source.seek(4 * columns * start)
                _fill(source, out[done : done + stop - start].data.cast("B"))
                done += stop - start
        return place(out)


def _count(stretches: Sequence[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in stretches)


def order_of(seed: Seed, rows: int) -> Order:
    """Return the order of rows that a seed gives; that of the file without one."""
    if seed is None:
        return np.arange(rows, dtype=np.int32)
    return np.random.default_rng(seed).permutation(rows).astype(np.int32)


def _fill(source: Any, room: memoryview) -> None:
    """Read until `room` is full. Raises EOFError where the file ends before."""
    while room:
        count = source.readinto(room)
        if not count:
            raise EOFError(f"{source.name} ends {len(room)} bytes too early")
        room = room[count:]
