"""What a flow does about the worker that runs it: it ends when the worker does.

A flow's process outlives a worker that was killed, and would train on beside the run that takes
its place, on the same GPU. It dies instead; the missing heartbeats make the run crashed, and it is
started again.
"""

import logging
import os
import threading
import time
from functools import cache

INTERVAL = 1.0
"""Seconds between looks at the parent process."""


def on_a_worker() -> bool:
    """Say whether a worker started this process, to run one flow."""
    return "PREFECT__FLOW_RUN_ID" in os.environ


def join_worker() -> None:
    """End this process when the worker that started it does, and log our news in the run.

    Nothing where no worker started it.
    """
    if on_a_worker():
        logging.getLogger("polycast").setLevel(logging.INFO)
        end_with_parent()


@cache
def end_with_parent() -> None:
    """End this process when the one that started it ends, however that ends."""
    parent = os.getppid()
    if parent > 1:  # in a container the flow's process may be the first
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os._exit(1)
