"""The version that answers: its contract, its bundle with compiled networks, what it was made of.

In: a contract and a version's number. Out: Answering.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks import registry
from tasks.contracts import contract_of
from tasks.forward_fill import filled_features

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle


@dataclass(frozen=True)
class Answering:
    """A version that is ready to answer."""

    model: str
    version: str
    contract: Contract
    """The contract that it was made by."""
    bundle: "Bundle"
    snapshot: str
    """The hash of the snapshot that it was made from; empty where the registry does not say."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that rows must have, each once: the key, what the model reads, and the time
        where it fills missing values from the rows before."""
        time = [self.contract.time] if filled_features(self.contract) and self.contract.time else []
        return tuple(dict.fromkeys([*self.contract.key, *time, *self.bundle.columns]))


def answering(contract: Contract, version: str) -> Answering:
    """Return a version of a dataset's model, ready to answer; its networks are loaded.

    Raises WrongRequest where its contract cannot be read today.
    """
    from tasks.backends import backend

    backend().use_device("auto")
    from tasks.backends.compiled import compiled
    from tasks.learning.bundle import load_bundle

    model = contract.registered_model
    own = contract_of(model, version) or contract
    bundle = compiled(load_bundle(registry.bundle_folder(model, version)))
    return Answering(model, version, own, bundle, _snapshot(model, version))


def _snapshot(model: str, version: str) -> str:
    from mlflow.exceptions import MlflowException

    client = registry.client()
    run = client.get_model_version(model, version).run_id
    try:
        return str(client.get_run(run).data.tags.get(registry.DATA_TAG, "")) if run else ""
    except MlflowException:  # somebody has deleted the run
        return ""
