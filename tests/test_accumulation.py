"""Gradient accumulation: a batch in parts takes the step that the whole batch takes."""

import json
import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from tasks.backends import backend
from tasks.learning.accumulation import out_of_memory
from tasks.learning.epochs import Budget, run_epochs
from tasks.learning.feeding import Held
from tests.test_epochs import TRAIN, VALIDATION, Trainee, small_trainee


def trained(parts: int, optimizer: Any) -> tuple[Trainee, list[float]]:
    """Train on batches of 25 rows in parts, none of which is as large as the others."""
    trainee = small_trainee(Trainee, jit_compile=True)
    trainee.compile(optimizer=optimizer, jit_compile=True)
    budget = Budget(epochs=2, batch_size=25, seed=0, parts=parts)
    history = run_epochs(trainee, Held(TRAIN), Held(VALIDATION), budget, (), backend())
    return trainee, history["loss"]


@pytest.mark.parametrize("parts", [2, 3, 25])
def test_a_batch_in_parts_takes_the_step_of_the_whole_batch(parts: int) -> None:
    # Rows differ in weight, and the batch of 7 at the end is smaller.
    whole, wanted = trained(1, keras.optimizers.SGD(0.05, global_clipnorm=0.5))
    parted, found = trained(parts, keras.optimizers.SGD(0.05, global_clipnorm=0.5))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for mine, theirs in zip(parted.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    assert int(keras.ops.convert_to_numpy(parted.steps)) == 10
    assert int(keras.ops.convert_to_numpy(parted.optimizer.iterations)) == 10


def test_a_step_in_parts_says_which_step_broke() -> None:
    trainee = small_trainee(Trainee, jit_compile=True)
    rows = TRAIN.matrix.copy()
    rows[:, 3] = np.inf
    budget = Budget(epochs=1, batch_size=25, seed=0, parts=2)
    wild = type(TRAIN)(rows[:, :3], rows[:, 3:-1], rows[:, -1])
    run_epochs(trainee, Held(wild), Held(VALIDATION), budget, (), backend())
    assert trainee.fault() == (1, "a")


def test_a_batch_that_memory_does_not_hold_comes_in_parts() -> None:
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-m", "tests.starving"], env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    limited, free = json.loads(done.stdout)
    np.testing.assert_allclose(limited, free, rtol=1e-4)
    assert "memory ran out: training goes back to its start" in done.stderr
    assert "from 2 parts of at most 100000 rows; a batch stays 200000 rows" in done.stderr


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this is TensorFlow's fault")
def test_memory_that_ran_out_is_known_from_other_faults() -> None:
    import tensorflow as tf

    with pytest.raises(tf.errors.ResourceExhaustedError) as fault:
        tf.fill([1 << 45], 1.0)
    assert out_of_memory(fault.value)
    assert not out_of_memory(RuntimeError("something else"))
