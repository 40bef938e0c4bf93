"""Training on two hosts, which are two processes here that meet over loopback."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from data_contracts.contract import Contract
from flows.handover import train
from flows.hosts import train_here
from flows.train import TrainingFailed
from tasks.contracts import store_contract
from tasks.errors import WrongRequest
from tasks.learning.bundle import load_bundle
from tasks.records import Shards
from tasks.storage import root_storage
from tasks.train import STAGE
from tests.builders import small_contract, small_rows
from tests.hosting import ALONE, OFTEN, begin
from tests.publishing import prepare, trained

TRAINING = {"parallel": "data", "hosts": 2, "device": "cpu"}
RECIPE = {
    "architecture": "shared", "hidden": [16], "epochs": 4, "batch_size": 40, "l2": 1e-4,
    "schedule": "cosine", "averaging": "ema",
}  # fmt: skip


def shared(**changes: object) -> tuple[Contract, Shards]:
    """Return a contract for two hosts, and its shards."""
    contract = small_contract(training=TRAINING, recipe=RECIPE | changes)
    return contract, prepare(contract, small_rows())


def alone_by(contract: Contract) -> Contract:
    """Return the contract for one host."""
    recipe = contract.recipe.model_dump(mode="json")
    return small_contract(training={"device": "cpu"}, recipe=recipe)


def hold_alike(*places: str) -> None:
    """Hold that two candidates have learned the same."""
    one, two = map(learned, places)
    for left, right in zip(one, two, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def learned(place: str) -> list[NDArray[Any]]:
    """Return the losses per epoch and the weights of a candidate."""
    folder = root_storage().fetch(place)
    curve = json.loads((folder / "curves.json").read_text("utf-8"))[0]
    network = load_bundle(folder / "bundle").members[0].network
    return [np.array(curve["loss"]), np.array(curve["val_loss"]), *network.get_weights()]


def test_two_hosts_learn_as_one_and_the_first_alone_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contract, shards = shared()
    monkeypatch.setenv("POLYCAST_LAUNCH", f"{sys.executable} -m tests.hosting 2")
    made = train(contract, shards)
    candidates = root_storage().places("candidates/small")
    assert candidates == [made.place]
    folder = Path(root_storage().path) / made.place
    assert len([f for f in folder.iterdir() if f.is_dir()]) == 1
    assert root_storage().places("checkpoints/candidates/small") == []
    trained(alone_by(contract), shards, "alone")
    hold_alike("candidates/small/alone", made.place)


@pytest.fixture
def _jax(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")


@pytest.mark.usefixtures("_jax")
def test_a_host_that_dies_ends_the_other_and_both_go_on_together() -> None:
    contract, shards = shared(epochs=30, patience=30)
    command = [*OFTEN, "train", store_contract(contract), shards.place]
    checkpoints = Path(root_storage().path, "checkpoints", STAGE.place(contract, shards.hash))
    first, second = begin(2, command)
    while first.poll() is None and not list(checkpoints.glob("*/*.checkpoint")):
        time.sleep(0.01)
    second.kill()
    assert first.wait(timeout=240) == 1
    said = first.communicate()[1]
    assert "host 0 of 2 cannot go on, since another one is gone" in said, said
    assert STAGE.find(contract, shards.hash) is None
    second.communicate()
    one = [*ALONE, store_contract(alone_by(contract)), shards.place]
    for host in begin(2, command) + begin(1, one):
        _, said = host.communicate(timeout=240)
        assert host.returncode == 0, said
    made = STAGE.find(contract, shards.hash)
    assert made is not None
    hold_alike("candidates/small/alone", made.place)
    assert not list(checkpoints.glob("*/*.checkpoint"))


def test_hosts_that_do_not_know_who_they_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    contract, shards = shared()
    place = store_contract(contract)
    with pytest.raises(WrongRequest, match="KERAS_DISTRIBUTION_PROCESS_ID to be set"):
        train_here(place, shards.place)
    told = {"JOB_ADDRESSES": "here:1,there:1", "NUM_PROCESSES": "3", "PROCESS_ID": "1"}
    for name, value in told.items():
        monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    with pytest.raises(WrongRequest, match="NUM_PROCESSES: expected 2, as"):
        train_here(place, shards.place)
    alone = store_contract(small_contract())
    with pytest.raises(WrongRequest, match="is for one host"):
        train_here(alone, shards.place)


def test_hosts_share_data_alone() -> None:
    with pytest.raises(ValidationError, match=r"data, since training\.hosts is 2"):
        small_contract(training={"hosts": 2, "parallel": "model"})


def test_without_a_launcher_the_command_for_each_host_is_told() -> None:
    contract, shards = shared()
    with pytest.raises(TrainingFailed, match="run this on each of the 2 hosts") as told:
        train(contract, shards)
    assert f"polycast train {store_contract(contract)} {shards.place}" in str(told.value)
