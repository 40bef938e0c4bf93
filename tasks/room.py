"""Room on a disk: a fault that comes of a full one is told as such."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEAST = 1 << 16
"""Bytes under which a disk is full: no file of use can be written."""
WORDS = ("no space left on device", "database or disk is full", "disk quota exceeded")
"""What libraries say that do not raise the system's own error, in lower case."""


class NoRoom(Exception):
    """A disk is full. The message says which, and how much was being written."""


def ran_out(error: BaseException, folder: Path) -> bool:
    """Say whether a fault comes of a full disk, such as the one that a folder lies on."""
    return any(map(_is_full, _chain(error))) or shutil.disk_usage(folder).free < LEAST


def no_room(error: BaseException, folder: Path, written: int = 0) -> NoRoom:
    """Return a full disk's fault in words.

    written: the bytes of the work that was being written into the folder.
    """
    said = next((e for e in _chain(error) if isinstance(e, NoRoom)), None)
    free = _size(shutil.disk_usage(folder).free)
    so_far = f", and {_size(written)} of this work were written when it ran out" * bool(written)
    return said or NoRoom(
        f"no room is left on the disk of {folder}: {free} free{so_far}. Make room, and run "
        "again: finished stages are not done again"
    )


@contextmanager
def telling_of_room(folder: Path) -> Iterator[None]:
    """Raise NoRoom for whatever comes of a full disk while the block writes into a folder."""
    try:
        yield
    except Exception as error:
        if ran_out(error, folder):
            raise no_room(error, folder.parent, _size_of(folder)) from error
        raise


def _size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder, some of which may go meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error).lower() for words in WORDS)


def _size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count} {unit}"
        count //= 1000
    return f"{count} GB"
