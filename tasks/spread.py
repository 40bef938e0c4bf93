"""Do many pieces of work with all processors, on this machine or on a Ray cluster.

POLYCAST_ENGINE says where: `local` (threads, the default), `ray` (a cluster that is started here)
or a cluster's address, such as `ray://head:10001`, whose machines must see the storage root's
folder at the same path. Results come in the order of the pieces, whoever has worked on them.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

J = TypeVar("J")
R = TypeVar("R")

VARIABLE = "POLYCAST_ENGINE"
AHEAD = 2
"""How many pieces a processor is given at once: none idles, and no results pile up."""
TURN = 1e-4
"""Seconds that a thread may keep Python's lock from another one. Arrow and NumPy give it up to
compute, and take it back hundreds of times a piece: each time, Python's own 5 ms may pass."""


def spread(work: Callable[[J, int], R], job: J, pieces: int) -> Iterator[R]:
    """Yield work(job, i) for i from 0 to `pieces` - 1, in order.

    `work` is a function of a module. One piece is done here.
    """
    engine = os.environ.get(VARIABLE) or "local"
    if pieces < 2:
        yield from (work(job, i) for i in range(pieces))
    elif engine == "local":
        yield from _on_threads(work, job, pieces)
    else:
        yield from _on_ray(work, job, pieces, engine)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_threads(work: Callable[[J, int], R], job: J, pieces: int) -> Iterator[R]:
    """Arrow and NumPy let other threads run while they work."""
    count = processors()
    with _short_turns(), ThreadPoolExecutor(count) as pool:
        yield from _in_order(
            lambda i: pool.submit(work, job, i), lambda f: f.result(), pieces, count
        )


@contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _on_ray(work: Callable[[J, int], R], job: J, pieces: int, engine: str) -> Iterator[R]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    own = not ray.is_initialized()
    if own:
        ray.init(**cluster(engine), log_to_driver=False, logging_level="error")
    try:
        shared, count = ray.put(job), int(ray.cluster_resources().get("CPU", 1))
        remote: Any = ray.remote(work)
        yield from _in_order(lambda i: remote.remote(shared, i), ray.get, pieces, count)
    finally:
        if own:
            ray.shutdown()


def cluster(engine: str) -> dict[str, Any]:
    """Return how Ray is told to start a cluster here, or to join one."""
    if engine != "ray":
        return {"address": engine}
    here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    return {"address": "local", "num_cpus": processors()} | here


def _in_order(
    submit: Callable[[int], Any], result: Callable[[Any], R], pieces: int, count: int
) -> Iterator[R]:
    waiting: deque[Any] = deque()
    for i in range(pieces):
        waiting.append(submit(i))
        if len(waiting) >= AHEAD * count:
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())
