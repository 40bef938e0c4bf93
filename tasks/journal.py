"""The journal of a model: every move of its alias `champion`, one after another, in storage.

MLflow points an alias anew without asking where it pointed. So a move is first written down, as
`journal/<model>/<number>.json`, which is created only where it is not there: of two that follow the
same move, one comes too late. Then the aliases are set, `previous` first, and `<number>.done` says
so. A process that dies in between leaves a move that is begun; whoever comes next finishes it.

A move goes to a complete version alone. Where somebody has moved the alias by hand, in MLflow's
pages, that is honoured: the journal notes it as a move from outside, and goes on from there. So
it begins with the champion of a registry that is older than it.

On a folder, whoever moves holds a lock of the operating system's, which is free when its process is
gone. A root that is no folder has no such lock: there a begun move of another process is left alone
for GRACE seconds, and who was asleep meanwhile puts right what it set too late. Roots that share a
registry and not their storage know nothing of one another's moves.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from tasks import registry
from tasks.errors import DataError
from tasks.passing import patiently
from tasks.records import Record
from tasks.registry import Version
from tasks.storage import BrokenWork, root_storage

FOLDER = "journal"
GRACE = 30.0
"""Seconds that a move, begun by another process, is left alone where there is no lock."""

log = logging.getLogger("polycast")

Kind = Literal["publish", "promote", "rollback", "outside"]


class ChampionMoved(Exception):
    """The champion is not the version any more that somebody has compared or chosen with."""


class Move(Record):
    """One move of the alias `champion`."""

    number: int
    """From 1 on, without a gap."""
    model: str
    version: str
    """The version that is champion from then on."""
    before: str | None
    """The version that was champion until then; None where there was none."""
    kind: Kind
    """publish: by a retrain; promote, rollback: by a person; outside: found, made by hand."""
    by: str
    """Who or what has moved it."""
    reason: str = ""
    when: str
    """ISO 8601, in UTC."""
    identity: str = ""
    """What tells the version from one of the same number in another registry."""

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.kind} of version {self.version} by {self.by}{why}"


def moves(model: str) -> list[Move]:
    """Return the moves of a model, oldest first. Raises BrokenWork where one cannot be read."""
    return [_read(model, number) for number in sorted(_pages(model, ".json"))]


def move(
    model: str, version: str, *, before: str | None, kind: Kind, by: str, reason: str = ""
) -> Move:
    """Make a complete version champion, and the champion that it takes the place of `previous`.

    before: the version that is champion now, as far as the caller knows. Where `version` is
    champion already, the move that made it so is returned, and nothing is done.
    Raises ChampionMoved where another one is, or where a person has rolled back what a retrain
    would publish, and DataError where the version cannot be champion.
    """
    with alone(model):
        while True:
            last, current = _settled(model)
            now = current.version if current else None
            if last is not None and now == version:
                return last
            if now != before:
                raise ChampionMoved(_told(model, before, now))
            target = movable(model, version)
            if kind == "publish" and registry.ROLLED_BACK_TAG in target.tags:
                raise ChampionMoved(f"{model}: version {version} was rolled back meanwhile")
            made = _write(target, last, before, kind, by, reason)
            if made is not None:
                _finish(made)
                return made


def mend(model: str) -> None:
    """Finish a move that was begun and is not done, and note one that was made by hand.

    It is called before anything is decided by who is champion. Where nothing was ever moved, it
    asks no registry.
    """
    if _pages(model, ".json"):
        with alone(model):
            _settled(model)


@contextmanager
def alone(model: str) -> Iterator[None]:
    """Hold a model's aliases while the block runs: no other process moves or mends them.

    On a root that is no folder it holds nothing. It cannot be held twice.
    """
    from filelock import FileLock

    storage = root_storage()
    if not storage.local:
        yield
        return
    folder = Path(storage.path) / FOLDER / model
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def _settled(model: str) -> tuple[Move | None, Version | None]:
    """Return the last move, finished, and the champion, which is its version or none."""
    while True:
        last = _last(model)
        if last is not None and not _is_done(last):
            _leave(last)
            _finish(last)
        current = patiently(registry.champion, model)
        if current is None or (last is not None and last.version == current.version):
            return last, current
        reason = "the alias was moved by hand" if last else "champion when the journal began"
        _write(current, last, last.version if last else None, "outside", "unknown", reason)


def _finish(made: Move) -> None:
    """Set the aliases of a move, and write that it is done.

    They are left as they are where somebody has moved `champion` by hand meanwhile, where the
    version is gone, or where the registry is not the one that the move was made in.
    """
    target = patiently(registry.version, made.model, made.version)
    current = patiently(registry.champion, made.model)
    now = current.version if current else None
    there = target is not None and target.identity == made.identity
    if there and made.kind != "outside" and now in (made.before, made.version):
        # Without a lock, somebody else may have thought this process dead.
        if now != made.version and not _is_done(made):
            _set(made.model, registry.CHAMPION, made.version)
        if made.before is not None and not _is_done(made):
            _set(made.model, registry.PREVIOUS, made.before)
        _overtaken(made)
    root_storage().create(_place(made.model, made.number, ".done"), b"")


def _set(model: str, alias: str, version: str) -> None:
    patiently(registry.client().set_registered_model_alias, model, alias, version)


def _overtaken(made: Move) -> None:
    """Point `champion` to where the newest move has pointed it, if that is not this one."""
    while (newest := _last(made.model)) is not None and newest.number != made.number:
        log.warning("%s: move %s came after move %s", made.model, made.number, newest.number)
        _set(made.model, registry.CHAMPION, newest.version)
        made = newest


def _leave(begun: Move) -> None:
    """Wait for a move that another process may be at; where there is a lock, none can be."""
    if root_storage().local:
        return
    end = time.monotonic() + GRACE
    while time.monotonic() < end and not _is_done(begun):
        time.sleep(0.5)


def _write(
    version: Version, last: Move | None, before: str | None, kind: Kind, by: str, reason: str
) -> Move | None:
    """Write the move that follows `last`; None where another process has written one."""
    number = last.number + 1 if last else 1
    made = Move(
        number=number,
        model=version.model,
        version=version.version,
        before=before,
        kind=kind,
        by=by,
        reason=reason,
        when=datetime.now(UTC).isoformat(),
        identity=version.identity,
        place=_place(version.model, number, ".json"),
    )
    text = made.model_dump_json(indent=1, exclude={"place", "hash"})
    return made if root_storage().create(made.place, text.encode()) else None


def movable(model: str, version: str) -> Version:
    """Return a version that can be champion: its files are all there, and it passed its proof.

    Raises DataError where there is none.
    """
    found = patiently(registry.version, model, version)
    if found is None:
        raise DataError(f"{model} has no version {version}")
    if found.tags.get(registry.COMPLETE_TAG) != "true":
        raise DataError(
            f"{model} version {version} is not complete: its making was cut off, so that it cannot "
            "become champion. Run the retrain again"
        )
    if (why := found.tags.get(registry.HELD_TAG)) is not None:
        raise DataError(
            f"{model} version {version} is held, since it failed its proof: {why}. Mend that, and "
            "run the retrain again with --from publish"
        )
    return found


def _told(model: str, before: str | None, now: str | None) -> str:
    was = f"version {before} was champion" if before else "there was no champion"
    now_is = f"version {now} is" if now else "there is none"
    return f"{model}: {was} when this began, and now {now_is}"


def _last(model: str) -> Move | None:
    numbers = _pages(model, ".json")
    return _read(model, max(numbers)) if numbers else None


def _is_done(made: Move) -> bool:
    return made.number in _pages(made.model, ".done")


def _pages(model: str, suffix: str) -> set[int]:
    """Return the numbers of a journal's files that end so."""
    names = (p.rsplit("/", 1)[-1] for p in root_storage().places(f"{FOLDER}/{model}"))
    stems = (n.removesuffix(suffix) for n in names if n.endswith(suffix))
    return {int(stem) for stem in stems if stem.isdecimal()}


def _read(model: str, number: int) -> Move:
    place = _place(model, number, ".json")
    try:
        content = root_storage().read(place) or b""
        return Move.model_validate_json(content).model_copy(update={"place": place})
    except ValidationError as error:
        raise BrokenWork(
            f"{root_storage().root}/{place} is no move of this version of Polycast: {error}"
        ) from None


def _place(model: str, number: int, suffix: str) -> str:
    return f"{FOLDER}/{model}/{number:06}{suffix}"
