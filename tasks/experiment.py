"""A dataset's experiment in MLflow, which its runs are logged under."""

from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks.registry import artifact_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient


def experiment(contract: Contract, client: "MlflowClient") -> str:
    """Return the id of a dataset's experiment, which is made where there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(contract.dataset)
    if found is not None:
        return str(found.experiment_id)
    folder = artifact_folder()
    location = (folder / contract.dataset).as_uri() if folder else None
    try:
        return str(client.create_experiment(contract.dataset, artifact_location=location))
    except MlflowException:
        made = client.get_experiment_by_name(contract.dataset)  # by another process, meanwhile
        if made is None:
            raise
        return str(made.experiment_id)
