"""Versions that predict, made without training: for tests of what surrounds them."""

from pathlib import Path

import keras
import pyarrow as pa

from data_contracts.contract import Contract
from tasks import registry
from tasks.learning.bundle import Bundle, save_bundle
from tasks.predict.answers import Answers
from tasks.predict.columns import Columns
from tasks.predict.model import Answering
from tasks.predict.request import Invalid
from tests.untrained import untrained_bundle


def untrained(contract: Contract, seed: int = 0) -> Bundle:
    """Return a bundle of a network as it is before training, the same for a seed."""
    keras.utils.set_random_seed(seed)
    return untrained_bundle(contract)


def register(contract: Contract, bundle: Bundle, folder: Path) -> str:
    """Register a bundle as a complete version, and return its number."""
    client, name = registry.client(), contract.registered_model
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
        client.create_experiment(name)
    experiment = client.get_experiment_by_name(name)
    run = client.create_run(experiment.experiment_id, tags={registry.DATA_TAG: "0123"})
    place = folder / str(run.info.run_id) / "artifacts"
    save_bundle(bundle, place / registry.BUNDLE)
    (place / registry.CONTRACT).write_text(contract.model_dump_json(), "utf-8")
    tags = {registry.COMPLETE_TAG: "true"}
    made = client.create_model_version(
        name, place.parent.as_uri(), run_id=run.info.run_id, tags=tags
    )
    return str(made.version)


def in_memory(
    contract: Contract, bundle: Bundle, schema: pa.Schema, invalid: Invalid
) -> tuple[Columns, Answers]:
    """Return what answers rows by a bundle that is in no registry."""
    model = Answering("small", "1", contract, bundle, "")
    columns = Columns(model, schema, None, invalid)
    return columns, Answers(columns, invalid)
