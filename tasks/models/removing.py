"""Remove a version from the registry, with the files that it alone has.

MLflow forgets a version, and leaves its files for ever. They go first: where the process is
killed in between, the version is there still, is not complete any more, and is removed next time.
"""

from typing import TYPE_CHECKING

from tasks.uses import forget

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOGGED = "models:/m-"
"""What the source of a version begins with that Polycast has registered: an MLflow logged model.
The files of any other source are not ours to remove."""


def remove(client: "MlflowClient", model: str, number: str) -> None:
    """Remove a version that is marked as not complete: its files, itself and its leases."""
    source = str(client.get_model_version(model, number).source)
    if source.startswith(LOGGED) and not _shared(client, model, number, source):
        _remove_files(client, source.removeprefix("models:/"))
    client.delete_model_version(model, number)
    forget(model, number)


def _shared(client: "MlflowClient", model: str, number: str, source: str) -> bool:
    """Say whether another version has the same files: somebody has registered them once more."""
    found = client.search_model_versions(f"name = '{model}'")
    return any(v.source == source and str(v.version) != number for v in found)


def _remove_files(client: "MlflowClient", model_id: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        logged = client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    files = get_artifact_repository(str(logged.artifact_location))
    files.delete_artifacts()  # type: ignore[no-untyped-call]  # MLflow's
    client.delete_logged_model(model_id)
