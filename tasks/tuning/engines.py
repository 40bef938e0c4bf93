"""Where trials run: in processes of this machine, or on a Ray cluster."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tasks.learning.errors import MissingPart
from tasks.spread import cluster
from tasks.storage import home
from tasks.tuning.batch import Done, train_batch
from tasks.tuning.trial import Job

CALLS = 32
"""A process ends after so many calls: what a backend has compiled, about 50 MB a trial, it never
gives back."""

Submit = Callable[[Sequence[Job]], "Future[Done]"]
"""Begins a trial, or several in one call."""
Engine = Callable[[int], Any]
"""Yields, for as many calls at once, a Submit, as a context manager."""


@contextmanager
def processes(jobs: int) -> Iterator[Submit]:
    """Run trials in processes of this machine, which share its processors evenly.

    A process of its own gives its memory back as it ends. They end when this process does.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool, begun = _pool(jobs, threads), 0

    def submit(batch: Sequence[Job]) -> "Future[Done]":
        nonlocal pool, begun
        # Not `max_tasks_per_child`: with it, Python 3.11 may wait for ever (its issue 115634).
        if begun == CALLS * jobs:
            pool.shutdown(wait=False)
            pool, begun = _pool(jobs, threads), 0
        begun += 1
        return pool.submit(_trained, batch)

    try:
        yield submit
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(jobs: int, threads: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, initializer=_prepare, initargs=(threads,))


def ray_cluster(address: str, gpus: float, own_gpus: int = 0) -> Engine:
    """Return the engine that runs trials on a Ray cluster whose machines see the storage root.

    `address` is that of a cluster, or `ray` for one that is started here, with all `own_gpus` of
    this machine. Each trial gets so many GPUs and sees no others. Raises MissingPart where Ray is
    not installed.
    """
    if find_spec("ray") is None:
        raise MissingPart("POLYCAST_ENGINE asks for ray: pip install 'polycast[ray]'")

    @contextmanager
    def engine(jobs: int) -> Iterator[Submit]:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        here = {"num_gpus": own_gpus} if address == "ray" else {}
        seen = {"env_vars": {"POLYCAST_HOME": home()}}
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        ray.init(**cluster(address), **here, **quiet, runtime_env=seen)
        try:
            calls = 1 if gpus else CALLS  # an idle process would keep its GPU's memory
            options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": 2, "max_calls": calls}
            remote: Any = ray.remote(**options)(_trained)
            yield lambda batch: remote.remote(batch).future()
        finally:
            ray.shutdown()

    return engine


def _trained(jobs: Sequence[Job]) -> Done:
    """Return the finished trials, and keep nothing of their networks."""
    try:
        return train_batch(jobs)
    finally:
        import keras

        keras.utils.clear_session()


def _prepare(threads: int) -> None:
    """Hold a process to its share of the processors, and end it with its parent."""
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
