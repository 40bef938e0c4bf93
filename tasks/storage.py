"""The storage root: a folder or an fsspec address under which every stage keeps its work.

A piece of work is a folder (`place`) with a manifest that names its files with checksums. The
manifest is written last and checks itself: without a whole one, nothing of the place is ever
read. Files lie in an attempt folder of their own, so that two writers never mix; only the
manifest of a local folder is moved into place, since two could write into one at once.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks.addresses import clean, shown
from tasks.passing import passes
from tasks.room import telling_of_room

MANIFEST = "manifest.json"
PATIENCE = 300.0
"""Seconds that a remote root may be away before a run gives it up."""
LONGEST = 15.0
"""The most seconds between two tries."""

T = TypeVar("T")
log = logging.getLogger("polycast")


class BrokenWork(Exception):
    """Files that differ from their manifest: something changed them after they were written."""


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys, the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class StorageAway(Exception):
    """A remote storage root does not answer."""


class Work:
    """A place under construction: put files into `folder`, then set `record`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] | None = None
        self.seconds = 0.0

    @cached_property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of every file by name, taken once: ask when all are written."""
        files = (f for f in sorted(self.folder.rglob("*")) if f.is_file())
        return {f.relative_to(self.folder).as_posix(): file_digest(f) for f in files}


class Storage:
    """A storage root. `root` is a folder or an address such as s3://bucket/prefix."""

    def __init__(self, root: str) -> None:
        # A listing that is kept would hide what other processes write.
        try:
            self.fs, self.path = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BrokenWork(
                f"the storage root {shown(root)} cannot be used: {clean(str(error))}. "
                "For s3:// addresses: pip install 'polycast[s3]'"
            ) from None
        self.root = shown(root.rstrip("/"))
        self.local = isinstance(self.fs, LocalFileSystem)
        self._fetched: dict[str, Path] = {}
        # A command whose first question is not answered has the wrong address, rather.
        self._patient = _within_a_run()

    def _asked(self, ask: Callable[..., T], *asked: Any) -> T:
        """Return what the file system answers; a remote one that is away is waited for.

        Raises StorageAway when it stays away.
        """
        start, wait = time.monotonic(), 1.0
        while True:
            try:
                answer = ask(*asked)
            except Exception as error:
                if isinstance(error, FileNotFoundError):
                    self._patient = True
                if self.local or not passes(error):
                    raise
                away = time.monotonic() - start
                if not self._patient or away > PATIENCE:
                    raise StorageAway(
                        f"the storage root {self.root} does not answer: {error}. See that the "
                        "network, AWS_ENDPOINT_URL and the credentials are right, and run again: "
                        "finished stages are not done again"
                    ) from error
                log.warning("the storage root %s does not answer: %s", self.root, clean(str(error)))
                time.sleep(wait)
                wait = min(2 * wait, LONGEST)
            else:
                self._patient = True
                return answer

    def manifest(self, place: str) -> dict[str, Any] | None:
        """Return a place's manifest if it is whole and its files are there, else None."""
        try:
            content = json.loads(self._asked(self.fs.cat_file, f"{self.path}/{place}/{MANIFEST}"))
            seal = content.pop("seal")
        except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
            return None
        if seal != digest(content):
            return None
        present = all(
            self._size(f"{place}/{content['attempt']}/{name}") == entry["bytes"]
            for name, entry in content["files"].items()
        )
        return content if present else None

    def _size(self, relative: str) -> int | None:
        try:
            return int(self._asked(self.fs.info, f"{self.path}/{relative}")["size"])
        except FileNotFoundError:
            return None

    @contextmanager
    def write(self, place: str) -> Iterator[Work]:
        """Yield a Work to fill; on a clean exit its files and record become the place's."""
        attempt = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        if self.local:
            self._clear_dead_attempts(place)
            folder = Path(self.path) / place / attempt
            folder.mkdir(parents=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="polycast-"))
        work = Work(folder)
        try:
            with telling_of_room(folder):
                yield work
                self._complete(place, attempt, work)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if not self.local:
            shutil.rmtree(folder, ignore_errors=True)

    def _complete(self, place: str, attempt: str, work: Work) -> None:
        files = {
            name: {"sha256": checksum, "bytes": (work.folder / name).stat().st_size}
            for name, checksum in work.checksums.items()
        }
        for name in files if not self.local else ():
            target = f"{self.path}/{place}/{attempt}/{name}"
            self._asked(self.fs.put_file, str(work.folder / name), target)
        content = {
            "attempt": attempt,
            "files": files,
            "record": work.record,
            "seconds": round(work.seconds, 3),
            # Of several within a second, it is asked which is the last.
            "written": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        sealed = json.dumps(content | {"seal": digest(content)}, indent=1).encode()
        if self.local:
            draft = work.folder / f".{MANIFEST}"
            draft.write_bytes(sealed)
            draft.replace(Path(self.path) / place / MANIFEST)
        else:
            self._asked(self.fs.pipe_file, f"{self.path}/{place}/{MANIFEST}", sealed)

    def _clear_dead_attempts(self, place: str) -> None:
        """Remove what a killed process of this machine left behind."""
        dead = [f for f in (Path(self.path) / place).glob("*-*-*") if _left_behind(f.name)]
        # Read only now: a process that has ended can no longer complete its attempt.
        current = (self.manifest(place) or {}).get("attempt")
        for folder in dead:
            if folder.name != current:
                shutil.rmtree(folder, ignore_errors=True)

    def forget(self, place: str) -> None:
        """Make a place incomplete: what is there is done again when it is next asked for."""
        self.drop(f"{place}/{MANIFEST}")

    def fetch(self, place: str) -> Path:
        """Return a local folder with a place's files, verified against their checksums.

        Raises BrokenWork where a file is missing or differs.
        """
        content = self.manifest(place)
        if content is None:
            raise BrokenWork(f"{self.root}/{place} is not complete: its manifest or a file is gone")
        attempt = f"{place}/{content['attempt']}"
        if attempt in self._fetched:
            return self._fetched[attempt]
        folder = Path(self.path) / attempt if self.local else self._download(attempt, content)
        for name, entry in content["files"].items():
            if file_digest(folder / name) != entry["sha256"]:
                raise BrokenWork(
                    f"{self.root}/{attempt}/{name} differs from its manifest. Remove "
                    f"{self.root}/{place} and run again: it will be made anew."
                )
        self._fetched[attempt] = folder
        return folder

    def _download(self, attempt: str, content: dict[str, Any]) -> Path:
        folder = Path(tempfile.gettempdir()) / "polycast-cache" / digest([self.root, attempt])[:16]
        for name in content["files"]:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Another process may be reading or fetching the same file.
            part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}")
            self._asked(self.fs.get_file, f"{self.path}/{attempt}/{name}", str(part))
            part.replace(target)
        return folder

    def address(self, place: str, name: str) -> str:
        """Return where a user finds a file of a complete place: a path or an address."""
        content = self.manifest(place)
        attempt = content["attempt"] if content else ""
        relative = f"{place}/{attempt}/{name}"
        return str(Path(self.path) / relative) if self.local else f"{self.root}/{relative}"

    def put(self, path: str, content: bytes) -> None:
        """Write a file whole, in place of what is there: whoever reads sees one or other, after a
        power cut too. Raises NoRoom where the disk is full, and leaves what is there.
        """
        if not self.local:
            self._asked(self.fs.pipe_file, f"{self.path}/{path}", content)
            return
        file = Path(self.path) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
        try:
            _write_through(draft, content)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)

    def clear(self, folder: str) -> None:
        """Remove a folder of small files, if it is there."""
        with suppress(FileNotFoundError):
            self._asked(lambda: self.fs.rm(f"{self.path}/{folder}", recursive=True))

    def drop(self, path: str) -> None:
        """Remove a small file, if it is there."""
        with suppress(FileNotFoundError):
            self._asked(self.fs.rm_file, f"{self.path}/{path}")

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file whole where there is none yet; say whether this call has made it.

        Of several processes that create one path at once, one succeeds: on a folder by a hard
        link, on an object store by a put that is refused where there is an object.
        """
        target = f"{self.path}/{path}"
        if self.local:
            return _link(Path(target), content)
        try:
            self._asked(partial(self.fs.pipe_file, target, content, mode="create"))
        except FileExistsError:
            # An answer that was lost on its way was asked for twice: the first made it.
            return bool(content) and self.read(path) == content
        return True

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file; None where there is none."""
        try:
            return bytes(self._asked(self.fs.cat_file, f"{self.path}/{path}"))
        except FileNotFoundError:
            return None

    def places(self, folder: str) -> list[str]:
        """Return the places below a folder, complete or not, in order of their names."""
        try:
            entries = self._asked(lambda: self.fs.ls(f"{self.path}/{folder}", detail=False))
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{e.rstrip('/').rsplit('/', 1)[-1]}" for e in entries)


def _write_through(file: Path, content: bytes) -> None:
    """Write a file to the disk itself. Raises NoRoom where that is full."""
    with telling_of_room(file.parent), file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _link(target: Path, content: bytes) -> bool:
    """Make a file with its whole content, unless there is one; say whether it was made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        _write_through(draft, content)
        os.link(draft, target)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _left_behind(attempt: str) -> bool:
    """Whether an attempt was made on this machine by a process that has ended."""
    host, pid, _ = attempt.rsplit("-", 2)
    return host == socket.gethostname() and pid.isdecimal() and not _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _within_a_run() -> bool:
    """Whether this process runs a flow for a worker, or works for a process that does."""
    return "PREFECT__FLOW_RUN_ID" in os.environ or multiprocessing.parent_process() is not None


def home() -> str:
    """Return the storage root: POLYCAST_HOME, or `.polycast` where the command is run."""
    return os.environ.get("POLYCAST_HOME") or str(Path(".polycast").resolve())


def root_storage() -> Storage:
    """Return the storage root of this process: what it has fetched and verified, it keeps."""
    return _opened(home())


@cache
def _opened(root: str) -> Storage:
    return Storage(root)


def local_home() -> Path:
    """Return the local folder for servers' own files; `.polycast` where the root is remote."""
    storage = root_storage()
    folder = Path(storage.path) if storage.local else Path(".polycast").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
