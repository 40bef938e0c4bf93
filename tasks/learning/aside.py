"""Work in a thread of its own while this one goes on: compiled code leaves processors idle."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def aside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Begin work; yield what waits for its outcome, or raises its fault. It is over at the end."""
    with ThreadPoolExecutor(1, "aside") as pool:
        yield pool.submit(work).result
