"""A warm start: from the champion's weights, or refused with the reason."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_contracts.contract import Contract
from tasks.learning.bundle import load_bundle
from tasks.learning.errors import Unsuitable
from tasks.records import Candidate
from tasks.start import began_with, with_start
from tasks.storage import root_storage
from tasks.train import STAGE, train_candidate
from tests.builders import small_contract, small_rows
from tests.publishing import prepare, published, trained

RECIPE = {"base": "shared_128_64", "hidden": [16], "epochs": 3, "batch_size": 40}
WARM = small_contract(training={"start": "champion"}, recipe=RECIPE)


def losses(candidate: Candidate) -> list[float]:
    place = root_storage().fetch(candidate.place)
    curve = json.loads((place / "curves.json").read_text("utf-8"))[0]
    return [float(v) for v in curve["val_loss"]]


def warm(contract: Contract, rows: int, name: str) -> Candidate:
    shards = prepare(contract, small_rows(rows), name)
    return trained(with_start(contract, shards), shards, name)


def test_training_goes_on_from_the_champion_once_there_is_one() -> None:
    cold = warm(WARM, 200, "cold")
    assert cold.start == "scratch"
    publication = published(WARM, cold)
    next_ = warm(WARM, 220, "next")
    assert next_.start == publication.version
    assert losses(next_)[0] < losses(cold)[1]


def test_the_same_contract_on_the_same_rows_is_not_trained_again() -> None:
    shards = prepare(WARM, small_rows(200), "cold")
    scratch = began_with(WARM, "scratch")

    def work(folder: Path) -> Candidate:
        return train_candidate(scratch, shards, root_storage().fetch(shards.place), folder)

    cold = STAGE.run(scratch, shards.hash, work=work)
    publication = published(WARM, cold)
    assert with_start(WARM, shards).training.start == "scratch"
    other = small_contract(training={"start": "champion"}, recipe=RECIPE | {"l2": 0.01})
    assert with_start(other, shards).training.start == publication.version


def test_weights_to_begin_with_are_those_of_the_version() -> None:
    cold = warm(WARM, 200, "cold")
    number = published(WARM, cold).version
    assert number is not None
    still = small_contract(recipe=RECIPE | {"learning_rate": 1e-12})
    shards = prepare(still, small_rows(200), "still")
    made = trained(began_with(still, number), shards, "still")
    first, second = (
        load_bundle(root_storage().fetch(c.place) / "bundle").members[0].network.get_weights()
        for c in (cold, made)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


REFUSED: dict[str, dict[str, object]] = {
    r"hidden_0/kernel is \(\d+, 8\), came \(\d+, 16\)": {"recipe": RECIPE | {"hidden": [8]}},
    "its architecture is shared, .* multi_head": {"recipe": {"architecture": "multi_head"}},
    r"has seen \d+ of the rows": {"split": {"kind": "random", "seed": 5}},
}


def test_a_start_that_cannot_be_is_refused() -> None:
    number = published(WARM, warm(WARM, 200, "cold")).version
    assert number is not None
    for at, (said, changes) in enumerate(REFUSED.items()):
        contract = small_contract(**{"recipe": RECIPE} | changes)
        shards = prepare(contract, small_rows(200), f"other{at}")
        with pytest.raises(Unsuitable, match=said):
            trained(began_with(contract, number), shards, f"other{at}")


def test_a_version_that_is_not_there_is_refused() -> None:
    shards = prepare(WARM, small_rows(200), "other")
    with pytest.raises(Unsuitable, match="version 7: there is no such version"):
        trained(began_with(WARM, "7"), shards, "other")


def test_a_version_is_named_by_its_number() -> None:
    assert small_contract(training={"start": 7}).training.start == "7"
