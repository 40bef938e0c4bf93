"""Remove a version from the registry, with the files that it alone has.

MLflow forgets a version, and leaves its files for ever. They go first: where the process is
killed in between, the version is there still, is not complete any more, and is removed next time.
"""

from typing import TYPE_CHECKING

from tasks.uses import forget

if TYPE_CHECKING:
    from mlflow import MlflowClient


def remove(client: "MlflowClient", model: str, number: str) -> None:
    """Remove a version that is marked as not complete: its files, itself and its leases."""
    model_id = client.get_model_version(model, number).model_id
    if model_id and not _shared(client, model, number, model_id):
        _remove_files(client, model_id)
    client.delete_model_version(model, number)
    forget(model, number)


def _shared(client: "MlflowClient", model: str, number: str, model_id: str) -> bool:
    """Say whether another version has the same files: somebody has registered them once more."""
    found = client.search_model_versions(f"name = '{model}'")
    return any(v.model_id == model_id and str(v.version) != number for v in found)


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
