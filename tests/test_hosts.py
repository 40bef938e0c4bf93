"""Training on two hosts, which are two processes here that meet over loopback."""

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
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
from tests.hosting import begin
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


def learned(place: str) -> list[np.ndarray]:
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
    alone = small_contract(training={"device": "cpu"}, recipe=RECIPE)
    for one, two in zip(
        learned(trained(alone, shards, "alone").place), learned(made.place), strict=True
    ):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


def test_a_host_that_dies_ends_the_other_and_all_go_on_together() -> None: ...


def test_without_a_launcher_the_command_for_each_host_is_told() -> None:
    contract, shards = shared()
    with pytest.raises(TrainingFailed, match="run this on each of the 2 hosts") as told:
        train(contract, shards)
    assert f"polycast train {store_contract(contract)} {shards.place}" in str(told.value)
