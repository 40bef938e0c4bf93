"""Where trials run: in this process, in processes of this machine, or on a Ray cluster."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from tasks.tuning.trial import Job, Trial, train_trial

Submit = Callable[[Job], "Future[Trial | None]"]
"""Begins a trial."""
Engine = Callable[[int], Any]
"""Yields, for as many trials at once, a Submit, as a context manager."""


@contextmanager
def here(jobs: int) -> Iterator[Submit]:
    """Run each trial in this process, one after another."""

    def submit(job: Job) -> "Future[Trial | None]":
        done: Future[Trial | None] = Future()
        done.set_result(train_trial(job))
        return done

    yield submit


@contextmanager
def processes(jobs: int) -> Iterator[Submit]:
    """Run trials in processes of this machine, which share its processors evenly.

    A process of its own gives its GPU memory back as it ends. They end when this process does.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(threads,)
    )
    try:
        yield lambda job: pool.submit(_trained, job)
    finally:
        pool.shutdown(cancel_futures=True)


def _trained(job: Job) -> Trial | None:
    """Return the finished trial, and keep nothing of its network."""
    try:
        return train_trial(job)
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
