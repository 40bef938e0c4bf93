"""Versions that predict, made without training: for tests of what surrounds them."""

from pathlib import Path

import keras
import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract
from tasks import registry
from tasks.learning.bundle import Bundle, Member, save_bundle
from tasks.learning.conformal import fit_conformal
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.layout import lay_out
from tasks.learning.limits import limits_of
from tasks.learning.networks import architecture
from tasks.learning.shards import to_arrays
from tasks.predict.answers import Answers
from tasks.predict.columns import Columns
from tasks.predict.model import DATA_TAG, Answering
from tasks.predict.request import Invalid
from tests.builders import small_rows


def untrained(contract: Contract, seed: int = 0) -> Bundle:
    """Return a bundle of a network as it is before training, with intervals of some scores."""
    keras.utils.set_random_seed(seed)
    rows = small_rows()
    preprocessing = fit_preprocessing(contract, rows)
    layout = lay_out(contract, preprocessing, to_arrays(contract, preprocessing, rows))
    name = contract.recipe.architecture
    kind, limits = architecture(name), limits_of(contract, (1.0, 1.0))
    network = kind.build(contract.recipe, layout)
    settings = kind.settings(contract.recipe, layout)
    scores = np.abs(np.random.default_rng(0).normal(size=(200, 2)))
    conformal = fit_conformal(scores, np.arange(200), [3.0, 0.5])
    return Bundle([Member(network, preprocessing, name, settings, limits)], conformal)


def register(contract: Contract, bundle: Bundle, folder: Path) -> str:
    """Register a bundle as a complete version, and return its number."""
    client, name = registry.client(), contract.registered_model
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
        client.create_experiment(name)
    experiment = client.get_experiment_by_name(name)
    run = client.create_run(experiment.experiment_id, tags={DATA_TAG: "0123"})
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
