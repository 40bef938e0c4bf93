"""MLflow's registry: which version is champion, and what it was made of.

By default its records are a SQLite file and a folder under the storage root's `registry/`;
MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI name servers instead.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.storage import local_home

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
CANDIDATE_TAG = "polycast.candidate"
OPPONENT_TAG = "polycast.opponent"
VERDICT_TAG = "polycast.verdict"
COMPLETE_TAG = "polycast.complete"


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
        return f"{self.tags.get(CANDIDATE_TAG) or tracking_address()}#{self.version}"


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
    mlflow.set_tracking_uri(tracking_address())
    mlflow.set_registry_uri(registry)
    return mlflow.MlflowClient(tracking_address(), registry)


def _quiet() -> None:
    """Keep MLflow's and Alembic's notes about their tables off the terminal."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
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
    found = client().get_model_version(model, number)
    return Version(model, str(found.version), dict(found.tags))


def bundle_folder(model: str, version: str) -> Path:
    """Return a local folder with a version's bundle, fetched from the registry."""
    import mlflow

    client()
    place = mlflow.artifacts.download_artifacts(f"models:/{model}/{version}")
    return Path(place) / "artifacts" / "bundle"
