"""The folder beside the output in which a prediction grows, so that a kill costs little of it.

`<out>.parts/` holds `work.json` (what was asked, and the version that answers), `rows/<n>.arrow`
and `aside/<n>.arrow`. Part n of `aside` is written before part n of `rows`, whose metadata say how
many rows were read for both: where that is there, the part is. The Parquet files are written at
the same time, and moved into place when all parts are there; after a kill they are made anew from
the parts.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import WrongRequest
from tasks.storage import Storage, canonical, digest

WORK, ROWS, ASIDE = "work.json", "rows", "aside"
FACTS = b"polycast.part"


@dataclass(frozen=True)
class Part:
    """What was answered of some rows."""

    read: int
    rows: pa.Table
    aside: pa.Table
    invalid: int
    reasons: Counter[str]


class Parts:
    """The parts of one output, and the files that they become."""

    def __init__(self, out: str) -> None:
        self.out = Storage(out)
        self.store = Storage(f"{out}.parts")

    def asked(self) -> dict[str, str]:
        """Return what the work that was begun is, {} where there is none."""
        try:
            found = json.loads(self.store.read(WORK) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def begin(self, work: dict[str, str]) -> None:
        """Begin other work: what there was is dropped."""
        self.clear()
        self.store.put(WORK, canonical(work))

    def clear(self) -> None:
        """Remove the folder and all that is in it. What was begun goes first."""
        self.store.drop(WORK)
        with suppress(FileNotFoundError):
            self.store.fs.rm(self.store.path, recursive=True)

    def read(self) -> Iterator[Part]:
        """Yield the parts that are there, in order."""
        number = 0
        while (content := self.store.read(_name(ROWS, number))) is not None:
            rows = _table(content)
            facts = json.loads(rows.schema.metadata[FACTS])
            aside = _table(self.store.read(_name(ASIDE, number)) or b"")
            reasons = Counter(facts["reasons"])
            yield Part(facts["read"], _plain(rows), aside, facts["invalid"], reasons)
            number += 1

    def add(self, number: int, part: Part) -> None:
        """Write part `number`."""
        facts = {"read": part.read, "invalid": part.invalid, "reasons": part.reasons}
        metadata = (part.rows.schema.metadata or {}) | {FACTS: canonical(facts)}
        self.store.put(_name(ASIDE, number), _bytes(part.aside))
        self.store.put(_name(ROWS, number), _bytes(part.rows.replace_schema_metadata(metadata)))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process of this machine write the same output while the block runs.

        Raises WrongRequest where one does. An end by SIGKILL frees the output too.
        """
        from filelock import FileLock, Timeout

        if not self.store.local:
            yield
            return
        name = f"polycast-{os.getuid()}-{digest(self.out.path)[:16]}.lock"
        lock = FileLock(Path(tempfile.gettempdir()) / name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            words = f"another process is writing {self.out.root}: wait until it has ended"
            raise WrongRequest(words) from None
        try:
            yield
        finally:
            lock.release()

    def put(self, file: Path, out: Storage) -> None:
        """Move a finished file into place: whoever reads sees what was there before, or all."""
        if out.local:
            os.replace(file, out.path)
        else:
            out.fs.put_file(str(file), out.path)


class Drafts:
    """The Parquet files of an output while they are written: rows, and rows set aside."""

    def __init__(self, parts: Parts, written: pa.Schema, aside: pa.Schema) -> None:
        self.parts, self.schemas = parts, (written, aside)
        self._stack = ExitStack()

    def __enter__(self) -> "Drafts":
        near = self.parts.store.path if self.parts.store.local else None
        for left in Path(near).glob("draft-*") if near else ():  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix="draft-", dir=near))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._writers = [
            self._stack.enter_context(_writer(self.folder / name, schema))
            for name, schema in zip((ROWS, ASIDE), self.schemas, strict=True)
        ]
        self.aside = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, part: Part) -> None:
        """Write a part as one row group of each file."""
        for writer, table in zip(self._writers, (part.rows, part.aside), strict=True):
            if len(table):
                writer.write_table(table, row_group_size=len(table))
        self.aside += len(part.aside)

    def finish(self, quarantine: str) -> None:
        """Move the files into place, the rows last. A quarantine of nothing is none."""
        for writer in self._writers:
            writer.close()
        place = Storage(quarantine)
        if self.aside:
            self.parts.put(self.folder / ASIDE, place)
        else:
            with suppress(FileNotFoundError):
                place.fs.rm_file(place.path)
        self.parts.put(self.folder / ROWS, self.parts.out)


def quarantine_of(out: str) -> str:
    """Return where rows are set aside: `predictions.quarantine.parquet` for the output
    `predictions.parquet`."""
    return f"{out.removesuffix('.parquet')}.quarantine.parquet"


def _writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Numbers that hardly repeat gain nothing by a dictionary, and little by slow compression."""
    coded = [f.name for f in schema if not pa.types.is_floating(f.type)]
    return pq.ParquetWriter(file, schema, compression="snappy", use_dictionary=coded)


def _name(kind: str, number: int) -> str:
    return f"{kind}/{number:06}.arrow"


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _table(content: bytes) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(content)).read_all()


def _plain(rows: pa.Table) -> pa.Table:
    """Return rows without what a part says of itself."""
    kept = {k: v for k, v in rows.schema.metadata.items() if k != FACTS}
    return rows.replace_schema_metadata(kept)
