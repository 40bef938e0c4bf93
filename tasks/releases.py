"""Releases: rows that a person lets out of quarantine, for the validations to come.

A release names a row by the hash of its key, and what it may hold by the hash of an expectation
and of the values that it judges: a row whose values change is judged anew.
`releases/<dataset>/` has a file per release, written once.
"""

import json
from collections.abc import Iterable
from datetime import datetime

from tasks.records import Record
from tasks.storage import canonical, digest, root_storage

Offence = tuple[str, str]
"""The hash of a row's key, and that of what it breaks."""


class Release(Record):
    """Offences that somebody has let through."""

    by: str
    when: datetime
    why: str
    reasons: dict[str, int]
    """How many rows by expectation, in words."""
    offences: tuple[Offence, ...]


def releases(dataset: str) -> list[Release]:
    """Return the releases of a dataset, newest first."""
    storage = root_storage()
    places = [p for p in storage.places(f"releases/{dataset}") if p.endswith(".json")]
    contents = filter(None, map(storage.read, places))
    found = [Release.model_validate(json.loads(content)) for content in contents]
    return sorted(found, key=lambda r: r.when, reverse=True)


def keep(dataset: str, release: Release) -> None:
    """Write a release into storage, for ever."""
    content = release.model_dump(mode="json", exclude={"place", "hash"})
    root_storage().create(f"releases/{dataset}/{digest(content)[:16]}.json", canonical(content))


def offences(found: Iterable[Release]) -> frozenset[Offence]:
    """Return all that releases let through."""
    return frozenset(offence for release in found for offence in release.offences)
