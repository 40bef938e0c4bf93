"""Where the checkpoints of a training run lie: in the storage root, until its candidate is whole.

In: a place, named by the key of the train stage's work, the division of the rows and whose network
it is. Each checkpoint is one file that is moved into place whole and checks itself; its name says
how far it is. The two that are furthest are kept, so runs of one stage at once do no harm to each
other: each may go on from either's, which are the same. Of several hosts the first one writes,
and all go on from the same one. Raises NoRoom where the disk is full, and leaves what was there;
Unlike where hosts see different checkpoints.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.hosts import agreed, leads, same
from tasks.learning.news import told_by
from tasks.storage import root_storage

if TYPE_CHECKING:
    from tasks.learning.course import Position

log = logging.getLogger("polycast")

FOLDER, SUFFIX = "checkpoints", ".checkpoint"
KEPT = 2
SECONDS = 60.0
"""The least time between two checkpoints within one training."""
PATIENCE = 50.0
"""How many times longer than writing one takes a run goes on before it writes another."""


class Checkpoints:
    """The checkpoints at a place: a `tasks.learning.course.Keeper`."""

    def __init__(self, place: str) -> None:
        self.place = f"{FOLDER}/{place}"
        self._written = time.monotonic()
        self._wait = SECONDS

    def last(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of checkpoints, the last first."""
        for path in agreed(self._all()[::-1]):
            content = root_storage().read(path)
            # Asked before any host can refuse it, and so remove it.
            same(hashlib.sha256(content or b"").hexdigest(), f"the checkpoint {path}")
            if content is not None:
                yield path, content

    def refuse(self, name: str, why: str) -> None:
        """Remove a checkpoint that cannot be used, and say so."""
        where = f"{root_storage().root}/{name}"
        log.warning("the checkpoint %s is refused: %s", where, why, extra=told_by("train"))
        if leads():
            root_storage().drop(name)

    def due(self) -> bool:
        """Say whether it is time for another one."""
        return leads() and time.monotonic() - self._written >= self._wait

    def write(self, position: "Position", content: bytes) -> None:
        """Write a checkpoint whole, then remove all but the last two."""
        if not leads():
            return
        start = time.monotonic()
        tries, epoch, step = position
        name = f"{tries}-{epoch:06d}-{step:010d}{SUFFIX}"
        root_storage().put(f"{self.place}/{name}", content)
        for path in self._all()[:-KEPT]:
            root_storage().drop(path)
        self._written = time.monotonic()
        self._wait = max(SECONDS, PATIENCE * (self._written - start))

    def noted(self, name: str) -> Any:
        """Return a note that an earlier run has made beside its checkpoints, None without one."""
        content = root_storage().read(f"{self.place}/{name}.json")
        try:
            return None if content is None else json.loads(content)
        except ValueError:
            return None

    def note(self, name: str, value: Any) -> None:
        """Make a note for a run that goes on."""
        root_storage().put(f"{self.place}/{name}.json", json.dumps(value).encode())

    def _all(self) -> list[str]:
        """Return the paths of all checkpoints, in the order of their positions."""
        found = root_storage().places(self.place)
        # A name that begins with a dot is a file that is being written, or was.
        return [p for p in found if p.endswith(SUFFIX) and p.rsplit("/", 1)[-1][0] != "."]


def forget_checkpoints(place: str) -> None:
    """Remove all checkpoints below a place: the work that they were for is complete."""
    root_storage().clear(f"{FOLDER}/{place}")
