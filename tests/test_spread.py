"""Training over two virtual devices of the CPU: as on one, whichever way it is spread."""

import json
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from tasks.backends import backend
from tasks.learning.errors import MissingPart
from tasks.learning.fitting import fit_network
from tests.builders import plain_layout, small_contract
from tests.test_training_options import TRAIN, VALIDATION

WAYS = {
    "tensorflow": ("none", "data", "both"),
    "jax": ("none", "data", "model", "forget", "parted"),
}
SPREAD = {
    "none": [1, 16],
    "data": [2, 16],
    "model": [2, 8],
    "parted": [1, 16],
    "both": [2, 16],
    "forget": [1, 16],
}
"""On how many devices the first kernel lies, and how many of its 16 columns on the first."""


def run(keras_backend: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.spread_training", *arguments],
        env=os.environ | {"KERAS_BACKEND": keras_backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", WAYS)
def test_a_network_learns_over_two_devices_as_on_one(name: str) -> None:
    if name == "jax":
        pytest.importorskip("jax")
    done = run(name, *WAYS[name])
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for way, made in found.items():
        assert made["spread"] == SPREAD[way]
        for what in ("loss", "val_loss", "answers"):
            np.testing.assert_allclose(made[what], found["none"][what], rtol=1e-5, atol=1e-6)


def test_a_batch_that_devices_cannot_share_is_refused() -> None:
    done = run("tensorflow", "data", "--batch-size", "63")
    assert "recipe.batch_size, 63, cannot be divided evenly between 2 devices" in done.stderr


def fit(recipe: dict[str, Any], parallel: str) -> None:
    contract = small_contract(recipe=recipe, training={"parallel": parallel})
    fit_network(contract, plain_layout(TRAIN), TRAIN, VALIDATION, None, backend())


def test_a_way_that_cannot_be_gone_is_refused_with_what_to_do() -> None:
    recipe = {"architecture": "shared", "hidden": [8], "epochs": 1}
    if keras.config.backend() == "tensorflow":
        with pytest.raises(MissingPart, match="KERAS_BACKEND=jax"):
            fit(recipe, "model")
    with pytest.raises(MissingPart, match="gradnorm cannot have each target's gradients"):
        fit(recipe | {"target_weights": "gradnorm"}, "data")


def test_a_network_forgets_between_where_the_backend_can() -> None:
    if keras.config.backend() == "jax":
        pytest.skip("seen over two devices: the way `forget`")
    contract = small_contract(training={"rematerialize": True})
    with pytest.raises(MissingPart, match="rematerialize cannot be had with tensorflow"):
        fit_network(contract, plain_layout(TRAIN), TRAIN, VALIDATION, None, backend())
