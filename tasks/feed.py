"""The shards that training takes: in memory where they fit, else from disk, block by block.

Rows on disk are first written once more, row after row, since decoding columns in every epoch would
hold training up. That file is the stage's own and goes with it.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import memory
from tasks.checkpoints import Checkpoints
from tasks.hosts import agreed, leads
from tasks.room import telling_of_room

if TYPE_CHECKING:
    from tasks.learning.feeding import Rows

log = logging.getLogger("polycast")

NOTE = "rows"
COPIES = 3
"""How often rows in memory lie there at most: as they are read, as an array, on the device."""
SHARE = 8
"""Rows from disk take up to this part of the free memory at once."""
LEAST = 64 << 20
"""Bytes of rows from disk that are in memory at once, however little is free."""


@contextmanager
def fed(
    place: Path, scratch: Path, checkpoints: Checkpoints | None = None
) -> Iterator[tuple["Rows", "Rows"]]:
    """Yield the train and the validation rows of a folder of shards.

    A run that goes on takes them as the one before it did, since their order depends on it, where
    memory allows that still; several hosts take them as the first one does. Rows from disk are
    written into a folder in `scratch`, which goes as the block ends. Raises NoRoom where the disk
    is full.
    """
    from tasks.learning.feeding import Held
    from tasks.learning.shards import read_shard, size

    files = [place / f"{split}.parquet" for split in ("train", "validation")]
    need = sum(4 * rows * columns for rows, columns in map(size, files))
    free = memory.free()
    before = checkpoints.noted(NOTE) if checkpoints else None
    most = _as_before(before, need, free) if isinstance(before, int) else _chosen(need, free)
    most = agreed(most)
    if checkpoints and most != before and leads():
        checkpoints.note(NOTE, most)
    if not most:
        train, validation = (Held(read_shard(file)) for file in files)
        yield train, validation
        return
    log.info(
        "the shards take %.1f GB, and %.1f GB of memory are free: rows come from the disk, "
        "%.2f GB at once",
        need / 1e9, (free or 0) / 1e9, most / 1e9,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="rows-", dir=scratch) as folder:
        both = [_on_disk(file, Path(folder), most) for file in files]
        yield both[0], both[1]


def _chosen(need: int, free: int | None) -> int:
    """Return the bytes of rows from disk that are in memory at once; 0 for all rows in memory."""
    return 0 if free is None or COPIES * need < free else max(LEAST, free // SHARE)


def _as_before(before: int, need: int, free: int | None) -> int:
    """Return what an earlier run chose, or another choice where memory is too small for that."""
    fits = free is None or (before or need) < free
    return before if fits else _chosen(need, free)


def _on_disk(shard: Path, folder: Path, most: int) -> "Rows":
    """Return a shard's rows, from a file of their own in a folder."""
    from tasks.learning.feeding import OnDisk
    from tasks.learning.shards import size, spread

    count, columns = size(shard)
    rows = max(1, most // (4 * columns))
    file = folder / f"{shard.stem}.f32"
    with telling_of_room(folder):
        some = spread(shard, file, rows // 4)
    return OnDisk(file, count, some, rows)
