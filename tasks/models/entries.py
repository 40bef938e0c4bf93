"""The versions of a dataset as the registry has them, with their verdicts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from data_contracts.contract import Contract
from tasks import registry
from tasks.contracts import contract_of
from tasks.errors import WrongRequest
from tasks.records import Verdict
from tasks.registry import Version
from tasks.rollbacks import rollback_of

PRUNED = "pruned"
"""Stands in the tag of completeness while a version is being removed."""


@dataclass(frozen=True)
class Entry(Version):
    """A registered version, and what names it."""

    made: datetime
    """When it was registered."""
    aliases: tuple[str, ...] = ()
    run: str | None = None
    """MLflow's id of the run that records it."""

    @property
    def complete(self) -> bool:
        """Say whether all of its files are there."""
        return self.tags.get(registry.COMPLETE_TAG) == "true"

    @property
    def state(self) -> str:
        """Whether it can answer or become champion, in words."""
        if self.tags.get(registry.COMPLETE_TAG) == PRUNED:
            return "being pruned"
        if not self.complete:
            return "incomplete"
        if held := self.tags.get(registry.HELD_TAG):
            return f"held: {held}"
        if (taken := rollback_of(self)) is not None:
            return f"rolled back {taken.words}"
        if day := self.tags.get(registry.AS_OF_TAG):
            return f"complete, as of {day}"
        return "complete"

    @cached_property
    def verdict(self) -> Verdict | None:
        """The verdict that it keeps; None where it keeps none that can be read today."""
        if not self.complete:
            return None
        try:
            file = registry.kept_file(self.model, self.version, registry.VERDICT)
            return None if file is None else Verdict.model_validate_json(file.read_text("utf-8"))
        except (OSError, ValidationError):
            return None

    @cached_property
    def contract(self) -> Contract | None:
        """The contract that it was made by; None where it keeps none that can be read today."""
        try:
            return contract_of(self.model, self.version)
        except (OSError, WrongRequest):
            return None

    def age(self, now: datetime) -> float:
        """Return its age in days."""
        return (now - self.made).total_seconds() / 86_400


def entries(contract: Contract) -> list[Entry]:
    """Return the versions of a dataset, newest first, incomplete ones too.

    Those of other datasets that share the model's name are left out.
    """
    model = contract.registered_model
    if not registry.used():
        return []
    client = registry.client()
    named = _aliases(client, model)
    found = (_entry(v, named) for v in _pages(client, f"name = '{model}'"))
    own = (
        e for e in found if e.tags.get(registry.DATASET_TAG, contract.dataset) == contract.dataset
    )
    return sorted(own, key=lambda e: -int(e.version))


def entry(contract: Contract, number: str) -> Entry:
    """Return a complete version. Raises WrongRequest where there is none of that number."""
    from tasks.chosen import chosen

    chosen(contract.registered_model, number)
    client = registry.client()
    found = client.get_model_version(contract.registered_model, number)
    return _entry(found, _aliases(client, contract.registered_model))


def _entry(found: Any, named: dict[str, list[str]]) -> Entry:
    number = str(found.version)
    return Entry(
        model=str(found.name),
        version=number,
        tags=dict(found.tags),
        made=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        aliases=tuple(sorted(named.get(number, ()))),
        run=found.run_id or None,
    )


def _aliases(client: Any, model: str) -> dict[str, list[str]]:
    """Return the aliases of each version that has any."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    named: dict[str, list[str]] = {}
    for alias, number in found.items():
        named.setdefault(str(number), []).append(str(alias))
    return named


def _pages(client: Any, wanted: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_model_versions(wanted, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
