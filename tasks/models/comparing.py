"""Two versions of a dataset compared: their contracts, their data, and their errors in units.

In: two entries. Out: a Comparison. What a version does not keep is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_contracts.contract import Contract
from tasks import registry
from tasks.database import first_time
from tasks.models.entries import Entry
from tasks.records import Snapshot, Verdict
from tasks.storage import root_storage

ABSENT = "–"
"""Stands for what is not there."""


@dataclass(frozen=True)
class Change:
    """One thing that differs, and how."""

    name: str
    """A contract's key path, such as `recipe.epochs`, or what is told of the data."""
    old: str
    new: str


@dataclass(frozen=True)
class TargetErrors:
    """The test RMSE of two versions on a target, in its unit."""

    target: str
    unit: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class Comparison:
    """How two versions differ."""

    contract: tuple[Change, ...]
    data: tuple[Change, ...]
    """What is the same is there too."""
    errors: tuple[TargetErrors, ...]
    same_rows: bool
    """Whether both were scored on the same test rows."""
    missing: tuple[str, ...]
    """What cannot be told, and why."""


def compared(old: Entry, new: Entry) -> Comparison:
    """Return how `new` differs from `old`."""
    missing = [
        f"version {e.version} keeps no {name} that can be read"
        for e in (old, new)
        for name, kept in (("contract", e.contract), ("verdict", e.verdict))
        if kept is None
    ]
    changes = _contracts(old.contract, new.contract) if old.contract and new.contract else ()
    return Comparison(
        contract=tuple(changes),
        data=tuple(_data(old, new)),
        errors=tuple(_errors(old, new)),
        same_rows=_splits(old.verdict) == _splits(new.verdict),
        missing=tuple(missing),
    )


def _contracts(old: Contract, new: Contract) -> Iterator[Change]:
    was, now = (dict(_flat(c.model_dump(mode="json"))) for c in (old, new))
    for path in dict.fromkeys([*was, *now]):
        before, after = was.get(path, ABSENT), now.get(path, ABSENT)
        if before != after:
            yield Change(path, before, after)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of a contract with its key path; a list of plain values is one value."""
    plain = not isinstance(value, dict | list) or not value
    if plain or (isinstance(value, list) and not any(isinstance(v, dict) for v in value)):
        yield path, "absent" if value is None else _text(value)
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        step = f"[{key}]" if isinstance(value, list) else f".{key}" if path else str(key)
        yield from _flat(inner, path + step)


def _text(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _data(old: Entry, new: Entry) -> Iterator[Change]:
    was, now = _facts(old), _facts(new)
    for name in was:
        yield Change(name, was[name], now[name])


def _facts(entry: Entry) -> dict[str, str]:
    """Return what is known of the data of a version, in words by name."""
    verdict = entry.verdict
    checked = verdict.scores.candidate.shards.checked if verdict else None
    return {
        "snapshot": checked.snapshot.hash[:16] if checked else ABSENT,
        "rows": f"{checked.snapshot.rows:,}" if checked else ABSENT,
        "quarantined": f"{checked.quarantined:,}" if checked else ABSENT,
        "first row": _first(entry, checked.snapshot) if checked else ABSENT,
        "last row": entry.tags.get(registry.UNTIL_TAG) or ABSENT,
    }


def _first(entry: Entry, snapshot: Snapshot) -> str:
    """Return the time of the first row, as long as the snapshot is there."""
    time = entry.contract.time if entry.contract else None
    if time is None:
        return ABSENT
    if root_storage().manifest(snapshot.place) is None:
        return "its snapshot is gone"
    return first_time(root_storage().fetch(snapshot.place) / "rows.parquet", time) or ABSENT


def _errors(old: Entry, new: Entry) -> Iterator[TargetErrors]:
    """Yield the errors of all targets; none in another unit is held against one in today's."""
    was, now = _rmse(old), _rmse(new)
    for target, unit in dict.fromkeys([*now, *was]):
        key = target, unit
        yield TargetErrors(target, unit, was.get(key), now.get(key))


def _rmse(entry: Entry) -> dict[tuple[str, str], float | None]:
    """Return the RMSE by target and unit."""
    if entry.contract is None or entry.verdict is None:
        return {}
    scores = entry.verdict.scores
    targets = entry.contract.target_columns.items()
    return {(name, t.unit): scores.of("candidate", name, "rmse") for name, t in targets}


def _splits(verdict: Verdict | None) -> str | None:
    """Return what tells test rows apart: rows and their division."""
    return verdict.scores.candidate.shards.hash if verdict else None
