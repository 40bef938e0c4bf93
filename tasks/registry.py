"""MLflow's registry: which version is champion, and what it was made of.

By default its records are a SQLite file and a folder under the storage root's `registry/`;
MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI name servers instead.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.source import moment
from tasks.addresses import shown
from tasks.learning import checksums
from tasks.registry_database import make_database
from tasks.storage import local_home

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
CANDIDATE_TAG = "polycast.candidate"
OPPONENT_TAG = "polycast.opponent"
VERDICT_TAG = "polycast.verdict"
COMPLETE_TAG = "polycast.complete"
DATASET_TAG = "polycast.dataset"
AS_OF_TAG = "polycast.as_of"
"""The day or moment that a version was made as of; a version that was published has none."""
OUTCOME_TAG = "polycast.outcome"
REBASELINE_TAG = "polycast.rebaseline"
"""Why a version was not compared with the champion, where a new start was asked for."""
ROLLED_BACK_TAG = "polycast.rolled_back"
"""Why a person took a version back that was champion."""
HELD_TAG = "polycast.held"
"""Why a registered version failed its proof: it never became champion."""
PROOF_TAG = "polycast.proof."
"""With a format's name behind it: what the proof of a version in that format measured, as JSON."""
DATA_TAG = "polycast.data"
"""The tag of an MLflow run that holds the hash of the snapshot."""
UNTIL_TAG = "polycast.data_until"
"""The time of the last row that a version was made from, in ISO 8601, in UTC."""
BUNDLE, CONTRACT, SEEN = "bundle", "contract.json", "seen.parquet"
"""What a version keeps: what predicts, the contract it was made by, the keys that it has seen."""
VERDICT = "verdict.json"
"""And with what numbers it was judged."""


@dataclass(frozen=True)
class Version:
    """A registered version and the tags that say what it was made of."""

    model: str
    version: str
    tags: Mapping[str, str]

    @property
    def identity(self) -> str:
        """What tells it from every other version, in this registry and in others: a number
        starts again where a registry does."""
        return f"{self.tags.get(CANDIDATE_TAG) or shown(tracking_address())}#{self.version}"

    @property
    def until(self) -> datetime | None:
        """The time of the last row that it was made from, None where that is not known."""
        tag = self.tags.get(UNTIL_TAG)
        return moment(tag) if tag else None

    @property
    def proved(self) -> bool:
        """Say whether its files are all there, and have passed their proof."""
        return self.tags.get(COMPLETE_TAG) == "true" and HELD_TAG not in self.tags

    def as_old_as(self, when: datetime, dataset: str) -> bool:
        """Say whether it could have been there then: made as of that day or before for the
        dataset, or published from rows that all lie before it."""
        if not self.proved or self.until is None:
            return False
        if AS_OF_TAG in self.tags:
            return self.tags.get(DATASET_TAG) == dataset and moment(self.tags[AS_OF_TAG]) <= when
        return self.until < when


def tracking_address() -> str:
    """Return MLflow's tracking address: MLFLOW_TRACKING_URI, or SQLite under the root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_address()


def _own_address() -> str:
    return f"sqlite:///{local_home() / 'registry' / 'mlflow.db'}"


def artifact_folder() -> Path | None:
    """Return where artifacts go when no server of the user's decides it, else None."""
    if tracking_address().startswith(("http://", "https://", "databricks")):
        return None
    return local_home() / "registry" / "artifacts"


def client() -> "MlflowClient":
    """Return MLflow's client on the configured addresses; its database is made where absent."""
    import mlflow

    _quiet()
    (local_home() / "registry").mkdir(exist_ok=True)
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or tracking_address()
    if _own_address() in (registry, tracking_address()):
        make_database(local_home() / "registry" / "mlflow.db")
    mlflow.set_tracking_uri(tracking_address())
    mlflow.set_registry_uri(registry)
    return mlflow.MlflowClient(tracking_address(), registry)


def _quiet() -> None:
    """Keep MLflow's and Alembic's notes about their tables off the terminal."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # They would show the server's address with its user and password.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def champion(model: str) -> Version | None:
    """Return the version that the alias `champion` names, or None."""
    if _never_used():
        return None
    return aliased(client(), model, CHAMPION)


def _never_used() -> bool:
    """Say whether there is nothing to ask: no server is named, and no database is there."""
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or tracking_address()
    return registry == _own_address() and not (local_home() / "registry" / "mlflow.db").exists()


def used() -> bool:
    """Say whether there is a registry to ask."""
    return not _never_used()


def aliased(registry: "MlflowClient", model: str, alias: str) -> Version | None:
    """Return the version that an alias names, or None."""
    from mlflow.exceptions import MlflowException

    try:
        found = registry.get_model_version_by_alias(model, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return Version(model, str(found.version), dict(found.tags))


def opponent(model: str, candidate: str) -> Version | None:
    """Return the version that a candidate, named by its hash, is compared with.

    That is the champion; or, where the champion is this very candidate, the one that it was
    compared with when it was published.
    """
    current = champion(model)
    if current is None or current.tags.get(CANDIDATE_TAG) != candidate:
        return current
    number = current.tags.get(OPPONENT_TAG)
    if not number:
        return None
    return version(model, number)  # None where it was pruned


def opponent_as_of(model: str, candidate: str, dataset: str, when: datetime) -> Version | None:
    """Return the version that a candidate made as of a moment is compared with, or None.

    That is the one with the latest rows among those as old as that, and of several such ones
    the newest; never one of this very candidate.
    """
    if _never_used():
        return None
    wanted = f"name = '{model}'"
    found = [
        v
        for v in versions(client(), wanted)
        if v.as_old_as(when, dataset) and v.tags.get(CANDIDATE_TAG) != candidate
    ]
    return max(found, key=lambda v: (v.until or when, int(v.version)), default=None)


def versions(registry: "MlflowClient", wanted: str) -> Iterator[Version]:
    """Yield all registered versions that an MLflow filter finds."""
    token = None
    while True:
        page = registry.search_model_versions(wanted, page_token=token)
        for found in page:
            yield Version(str(found.name), str(found.version), dict(found.tags))
        token = page.token
        if not token:
            return


def version(model: str, number: str) -> Version | None:
    """Return a version by its number, None where it is not registered."""
    from mlflow.exceptions import MlflowException

    if _never_used():
        return None
    try:
        found = client().get_model_version(model, number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return Version(model, str(found.version), dict(found.tags))


def exists(model: str, number: str) -> bool:
    """Say whether a version is registered still."""
    return version(model, number) is not None


def registered(model: str, version: str) -> str:
    """Return when a version was registered, in ISO 8601, in UTC."""
    found = client().get_model_version(model, version)
    when = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    return when.isoformat(timespec="seconds")


def bundle_folder(model: str, version: str) -> Path:
    """Return a local folder with a version's bundle, fetched from the registry.

    Raises ValueError where a file is not what was published.
    """
    folder = _fetched(model, version, BUNDLE)
    sums = kept_file(model, version, checksums.NAME)
    if sums is not None:
        checksums.check(sums, folder.parent, BUNDLE)
    return folder


def version_folder(model: str, version: str) -> Path:
    """Return a local folder with all files of a version, fetched from the registry."""
    import mlflow

    client()
    return Path(mlflow.artifacts.download_artifacts(f"models:/{model}/{version}"))


def contract_file(model: str, version: str) -> Path | None:
    """Return a local file with a version's contract in JSON; None where it keeps none."""
    return kept_file(model, version, CONTRACT)


def seen_file(model: str, version: str) -> Path | None:
    """Return a local file with the keys that a version has seen; None where it keeps none."""
    return kept_file(model, version, SEEN)


def verdict_file(model: str, version: str) -> Path | None:
    """Return a local file with a version's verdict in JSON; None where it keeps none."""
    return kept_file(model, version, VERDICT)


def kept_file(model: str, version: str, name: str) -> Path | None:
    """Return a local file of those that lie beside a version's bundle; None where it keeps none.

    Versions of before these files were kept have none of them.
    """
    import mlflow

    client()
    found = mlflow.artifacts.list_artifacts(f"models:/{model}/{version}/artifacts")
    names = {file.path.rsplit("/", 1)[-1] for file in found}
    return _fetched(model, version, name) if name in names else None


def _fetched(model: str, version: str, name: str) -> Path:
    import mlflow

    client()
    place = mlflow.artifacts.download_artifacts(f"models:/{model}/{version}/artifacts/{name}")
    return Path(place)
