"""What all stages share: a key, a place, reuse of finished work, and news for whoever looks on.

A stage's key covers the sections of the contract that it reads, the hashes of its inputs and
the code that it runs. Work that is complete under the key is never done again.

Prefect's own result cache is not used for this: it can be asked only through Prefect, and it
does not look whether the files behind a result are still whole.
"""

import ast
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from data_contracts.contract import Contract
from tasks.records import Record
from tasks.storage import digest, file_digest, root_storage

log = logging.getLogger("polycast")

R = TypeVar("R", bound=Record)

_PLUMBING = {
    "tasks",
    "tasks.orchestration",
    "tasks.stage",
    "tasks.storage",
    "tasks.records",
    "tasks.errors",
    "tasks.uses",
}


@dataclass(frozen=True)
class Stage(Generic[R]):
    """A stage: its name, the folder its work goes to, and what decides whether it is done."""

    name: str
    folder: str
    record: type[R]
    module: str
    """The module whose code, with all of ours that it imports, the key covers."""
    reads: Callable[[Contract], Any]
    """Returns what the stage reads of a contract, as JSON values."""

    def place(self, contract: Contract, *inputs: str) -> str:
        """Return the place of the stage's work on inputs given by their hashes."""
        key = digest([self.name, self.reads(contract), inputs, code_digest(self.module)])
        return f"{self.folder}/{contract.dataset}/{key[:16]}"

    def find(self, contract: Contract, *inputs: str) -> R | None:
        """Return the record of finished work on these inputs, or None."""
        return self.read(self.place(contract, *inputs))

    def read(self, place: str) -> R | None:
        """Return the record at a place, or None where it is not complete."""
        manifest = root_storage().manifest(place)
        try:
            return None if manifest is None else self.record.model_validate(manifest["record"])
        except ValidationError:
            # Written by another version of Polycast, whose records differ: done anew.
            return None

    def run(
        self,
        contract: Contract,
        *inputs: str,
        work: Callable[[Path], R],
        holds: Callable[[R], bool] = lambda _: True,
        place: str | None = None,
    ) -> R:
        """Return finished work that still `holds`, or do it: `work` fills the folder it is given.

        The record that `work` returns comes back with its place and its hash. A `place` of
        one's own is not shared with other runs.
        """
        place = place or self.place(contract, *inputs)
        found = self.read(place)
        if found is not None and holds(found):
            self._tell("reused", found.summary)
            return found
        self._tell("started")
        start = time.monotonic()
        with root_storage().write(place) as job:
            record = work(job.folder)
            own = record.model_dump(mode="json", exclude={"place", "hash"})
            seal = digest([own, job.checksums])
            record = record.model_copy(update={"place": place, "hash": seal})
            took = time.monotonic() - start
            job.record = record.model_dump(mode="json")
            job.seconds = took
        self._tell("finished", record.summary, took)
        return record

    def _tell(self, state: str, summary: str = "", seconds: float | None = None) -> None:
        news = {"stage": self.name, "state": state, "summary": summary, "seconds": seconds}
        log.info("%s %s%s", self.name, state, f": {summary}" if summary else "", extra=news)


@cache
def code_digest(module: str) -> str:
    """Return a SHA-256 over a module's source and all of ours that it imports."""
    sources: dict[str, str] = {}
    _collect(module, sources)
    return digest(sources)


def _collect(module: str, sources: dict[str, str]) -> None:
    file = _file(module)
    if module in sources or module in _PLUMBING or file is None:
        return
    sources[module] = file_digest(file)
    beside = (*file.parent.glob("*.j2"), *file.parent.glob("*.css"))
    for template in beside if file.name == "__init__.py" else ():
        sources[f"{module}/{template.name}"] = file_digest(template)
    for name in _imported(file):
        _collect(name, sources)


@cache
def _imported(file: Path) -> list[str]:
    """Return what may be a module among the names that are imported anywhere in a file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _file(module: str) -> Path | None:
    """Return the file of one of our modules without importing it; None for any other name."""
    parts = module.split(".")
    if parts[0] != "tasks":
        return None
    base = Path(__file__).parent.joinpath(*parts[1:])
    candidates = (base / "__init__.py", base.with_suffix(".py"))
    return next((f for f in candidates if f.is_file()), None)
