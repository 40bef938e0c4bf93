"""Who uses a version: small leases in storage, so that `prune` takes nothing from under anyone.

`uses/<model>/<version>/<id>.json` says what is done with the version, by whom, and when the lease
was renewed last. It counts for ten minutes from then on, so that a process that was killed holds a
version no longer than that. Work that is taken up again after a kill names itself: its lease
counts until a block of that name ends well, or nothing has been heard of it for a week.
"""

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from tasks.records import Record
from tasks.storage import canonical, digest, root_storage

RENEW = 60.0
"""Seconds between two renewals."""
COUNTS = timedelta(minutes=10)
"""How long a lease counts after it was renewed."""
RESUMABLE = timedelta(days=7)
"""How long the lease of work counts that may be taken up again."""

log = logging.getLogger("polycast")


class Use(Record):
    """One use of a version."""

    what: str
    """What is done with it, such as `predict rows.parquet`."""
    by: str
    """The machine and the process."""
    since: datetime
    renewed: datetime
    resumable: bool = False

    def counts(self, now: datetime) -> bool:
        """Say whether the version is in use still."""
        return now - self.renewed < (RESUMABLE if self.resumable else COUNTS)

    @property
    def summary(self) -> str:
        """Who does what with it, and since when."""
        return f"{self.what} ({self.by}, since {self.since:%Y-%m-%d %H:%M} UTC)"


@contextmanager
def using(model: str, version: str, what: str, resumable: str | None = None) -> Iterator[None]:
    """Keep a version from being pruned while the block runs.

    resumable: a name of the work, the same when it is taken up again after a kill. Its version is
    kept then until the block ends without an error.
    """
    now = datetime.now(UTC)
    by = f"{socket.gethostname()}, process {os.getpid()}"
    use = Use(what=what, by=by, since=now, renewed=now, resumable=resumable is not None)
    name = uuid.uuid4().hex if resumable is None else digest(resumable)
    path = f"{_folder(model, version)}/{name[:16]}.json"
    _write(path, use)
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(path, use, ended), daemon=True)
    thread.start()
    try:
        yield
        resumable = None  # it has ended well: there is nothing to take up again
    finally:
        ended.set()
        thread.join()
        if resumable is None:
            root_storage().drop(path)


def uses(model: str, version: str) -> list[Use]:
    """Return the uses of a version that count now, oldest first."""
    now = datetime.now(UTC)
    places = root_storage().places(_folder(model, version))
    found = [_read(path) for path in places if path.endswith(".json")]  # no half-written ones
    return sorted((u for u in found if u and u.counts(now)), key=lambda u: u.since)


def forget(model: str, version: str) -> None:
    """Remove what is left of the leases of a version that is gone."""
    for path in root_storage().places(_folder(model, version)):
        root_storage().drop(path)


def _folder(model: str, version: str) -> str:
    return f"uses/{model}/{version}"


def _renew(path: str, use: Use, ended: threading.Event) -> None:
    """Renew a lease until its block has ended; a storage root that is away is tried again."""
    while not ended.wait(RENEW):
        try:
            _write(path, use.model_copy(update={"renewed": datetime.now(UTC)}))
        except Exception as error:
            log.warning("the lease of %s was not renewed: %s", use.what, error)


def _write(path: str, use: Use) -> None:
    root_storage().put(path, canonical(use.model_dump(mode="json")))


def _read(path: str) -> Use | None:
    """Return a lease; None where it has just ended, or is none of ours."""
    content = root_storage().read(path)
    try:
        return None if content is None else Use.model_validate(json.loads(content))
    except (ValueError, ValidationError):
        return None
