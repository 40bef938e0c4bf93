"""One retrain of a dataset at a time on a storage root: a second one waits for its turn.

Deployments have a limit of one run each; this holds for runs that know nothing of one another,
such as a terminal's and a schedule's. The lock is the operating system's, so it is free when its
process is gone, however that ended. On a root that is no folder, such as s3://, there is no such
lock: there publishing finds out when the champion has moved meanwhile.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from data_contracts.contract import Contract
from tasks.learning.news import told_by
from tasks.storage import local_home, root_storage

log = logging.getLogger("polycast")


@contextmanager
def turn(contract: Contract) -> Iterator[None]:
    """Hold the dataset while the block runs, after whoever holds it now."""
    from filelock import FileLock, Timeout

    if not root_storage().local:
        yield
        return
    folder = local_home() / "turns"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{contract.dataset}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        said = "another retrain of %s is going on: waiting for its turn"
        log.info(said, contract.dataset, extra=told_by("retrain"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
