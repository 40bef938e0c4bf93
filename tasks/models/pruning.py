"""Prune: remove old versions by the contract's `publishing.keep`, and nothing that is needed.

In: a contract, and what else must stay with the reason. Out: a Fate for every version.
No version that has an alias goes, nor what a champion or `previous` was compared with, nor one
that a run is using. The aliases are held meanwhile: on a root that is a folder, nothing is
promoted while this runs. On another root somebody could promote a version in the second in which
it goes: do not promote and prune at once there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from data_contracts.contract import Contract
from data_contracts.settings import Keep
from tasks import registry
from tasks.errors import WrongRequest
from tasks.journal import alone, mend, moves
from tasks.models.entries import PRUNED, Entry, entries
from tasks.models.removing import remove
from tasks.uses import uses

ABANDONED = 0.25
"""The days after which an incomplete version is taken for that of a run that has ended."""


@dataclass(frozen=True)
class Fate:
    """What becomes of a version, and why."""

    version: str
    removed: bool
    why: str


def prune(contract: Contract, needed: Mapping[str, str], dry_run: bool = False) -> list[Fate]:
    """Remove the versions that are beyond the rule, oldest first; return what became of all.

    needed: versions that must stay besides, with the reason. With `dry_run` nothing is removed.
    Raises WrongRequest where the contract has no rule.
    """
    keep = contract.publishing.keep
    if keep is None:
        raise WrongRequest(
            f"{contract.dataset} does not say which versions to keep: expected publishing.keep in "
            "the contract, such as {versions: 10, days: 90}"
        )
    model = contract.registered_model
    mend(model)
    with alone(model):
        found = list(reversed(entries(contract)))
        stay = dict(needed) | _stay(found, model)
        return [_fate(e, keep, stay, _newer(found, e), dry_run) for e in found]


def _newer(found: list[Entry], one: Entry) -> int:
    return sum(e.complete and int(e.version) > int(one.version) for e in found)


def _stay(found: list[Entry], model: str) -> dict[str, str]:
    """Return the versions that must stay whatever the rule says, with the reason."""
    stay: dict[str, str] = {}
    for entry in (e for e in found if e.aliases):
        named = " and ".join(entry.aliases)
        opponent = entry.tags.get(registry.OPPONENT_TAG)
        if opponent:
            stay.setdefault(opponent, f"version {entry.version}, {named}, was compared with it")
    # What the last move names is needed, were it begun and not done.
    for made in moves(model)[-1:]:
        stay |= {v: "the last move names it" for v in (made.version, made.before) if v}
    return stay | {e.version: f"it is {' and '.join(e.aliases)}" for e in found if e.aliases}


def _fate(entry: Entry, keep: Keep, stay: Mapping[str, str], newer: int, dry_run: bool) -> Fate:
    now = datetime.now(UTC)
    why = next(_reasons(entry, keep, stay, newer, now), None)
    if why is None and not dry_run:
        why = _removed(entry)
    if why is not None:
        return Fate(entry.version, False, why)
    age = f"{entry.age(now):.0f} days old"
    return Fate(
        entry.version, True, f"{age}, {newer} newer ones" if entry.complete else "unfinished"
    )


def _reasons(
    entry: Entry, keep: Keep, stay: Mapping[str, str], newer: int, now: datetime
) -> Iterator[str]:
    """Yield why a version stays."""
    if entry.version in stay:
        yield stay[entry.version]
    for use in uses(entry.model, entry.version):
        yield f"in use: {use.summary}"
    if entry.tags.get(registry.COMPLETE_TAG) == PRUNED:
        return
    if not entry.complete:
        if entry.age(now) < ABANDONED:
            yield "it may be in the making"
        return
    if newer < keep.versions:
        yield f"one of the {keep.versions} newest"
    elif entry.age(now) < keep.days:
        yield f"younger than {keep.days} days"


def _removed(entry: Entry) -> str | None:
    """Remove a version, unless somebody has begun to use it since; then return why it stays."""
    client, tag = registry.client(), registry.COMPLETE_TAG
    before = entry.tags.get(tag)
    client.set_model_version_tag(entry.model, entry.version, tag, PRUNED)
    if found := uses(entry.model, entry.version):
        client.set_model_version_tag(entry.model, entry.version, tag, before or "false")
        return f"in use: {found[0].summary}"
    remove(client, entry.model, entry.version)
    return None
