"""`python -m flows.beside MODULE …`: run a server whose garbage is collected beside its event loop.

Where Python collects garbage by itself, it does so in whichever thread allocates: in a server's
event loop, mostly. A statement of SQLite's that is garbage then waits for its connection's mutex;
where that connection waits for the write lock, and a transaction that the loop serves holds the
lock, all wait for one another until the busy timeout, which is 60 s on Prefect's server. A thread
of its own that collects may wait: the loop goes on, the lock is given back, and so is the mutex.
"""

import gc
import runpy
import sys
import threading
import time
from itertools import count

EVERY = 2.0
"""Seconds between two collections: what is garbage is little until then."""
WHOLE = 10
"""Every so many collections go through all objects, the others through those that are new: an idle
Prefect server has half a million, which take a fifth of a second. What grew old before it was
garbage waits 20 s at most, a third of the busy timeout."""


def collect_beside() -> None:
    """Collect garbage in a thread of its own from now on, and in no other."""
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    for turn in count(1):
        time.sleep(EVERY)
        gc.collect(2 if turn % WHOLE == 0 else 1)


if __name__ == "__main__":
    collect_beside()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
