"""Read, answer and write at the same time, with memory that does not grow with the rows.

In: blocks of rows in order, what answers one, what writes one. While threads answer, the next block
is read and the last ones are written: Arrow, NumPy and the network all let go of Python's lock.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 2
"""How many blocks are answered at once: while one is in the network, another is encoded."""


class Clock:
    """Seconds by what they were spent on. What goes on at the same time adds up to more than
    passes."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and count how long they take to come."""
        source = iter(items)
        while True:
            start = time.perf_counter()
            item = next(source, None)
            self.seconds[name] += time.perf_counter() - start
            if item is None:
                return
            yield item


def in_order(items: Iterable[T], answer: Callable[[T], R]) -> Iterator[R]:
    """Yield the answers to items in their order, some of them answered ahead.

    An error of one is raised in its turn; those after it are not begun.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
    ahead: deque[Future[R]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(answer, item))
            if len(ahead) > THREADS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Behind:
    """Does one thing after another in a thread of its own; holds who asks up while one is done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._last: Future[None] | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Do work as soon as what was asked before is done. Raises what that raised."""
        self.wait()
        self._last = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until nothing is left to do. Raises what the last work raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "Behind":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
