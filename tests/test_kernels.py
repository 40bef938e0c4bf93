"""Kernel regression: how it is chosen, its layer, and its share of a blend."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tasks.learning import kernels
from tasks.learning.blending import blend_weights
from tasks.learning.folds import fold_of_rows
from tasks.learning.kernels import LENGTHS, Kernel, fit_kernel
from tasks.learning.networks.blended import MOST_NEAR, Beside
from tasks.learning.networks.kernel import KernelRegression, exact
from tasks.learning.shards import Arrays
from tests.walk import surroundings

needs_exact = pytest.mark.skipif(not exact(), reason="JAX computes in single precision here")


def bent_rows(rows: int) -> tuple[Any, Any]:
    inputs = np.random.default_rng(1).normal(size=(rows, 3))
    return inputs, np.stack([np.sin(2 * inputs[:, 0]) * inputs[:, 1], inputs[:, 2] ** 2], axis=1)


@needs_exact
def test_kernel_regression_finds_what_is_bent_and_is_a_layer(tmp_path: Path) -> None:
    inputs, targets = bent_rows(400)
    weight, known = np.ones(300), np.ones((300, 2), bool)
    found = fit_kernel(inputs[:300], targets[:300], weight, known, LENGTHS)
    said = found.predict(inputs[300:])
    assert (np.abs(said - targets[300:]).mean(axis=0) < 0.15 * targets.std(axis=0)).all()
    entry, layer = keras.Input((3,)), KernelRegression(300, 2)
    network = keras.Model(entry, layer(entry))
    layer.set(found)
    answer = network.predict(inputs[300:], verbose=0)
    np.testing.assert_allclose(answer, said, rtol=1e-5, atol=1e-5)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(again.predict(inputs[300:], verbose=0), answer)


def test_a_kernels_error_is_that_of_rows_left_out_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "NOISES", np.array([0.1]))
    inputs, targets = bent_rows(90)
    weight = np.random.default_rng(3).uniform(0.1, 4.0, 90)
    weight[:6] = 0.0

    def fitted(own: Any, length: float) -> Kernel:
        known = np.ones((own.sum(), 2), bool)
        return fit_kernel(inputs[own], targets[own], weight[own], known, (length,))

    middle = np.average(targets, axis=0, weights=weight)
    for length in LENGTHS[1:4]:
        others = [np.arange(90) != i for i in range(90)]
        said = [fitted(own, length).predict(inputs[~own])[0] for own in others]
        gaps, whole = ((weight @ (v - targets) ** 2) for v in (np.array(said), middle))
        found = fitted(np.ones(90, bool), length)
        assert found.error == pytest.approx(np.sqrt(gaps / whole).mean(), rel=0.03)
        assert len(found.rows) == 84


def test_a_kernel_has_the_length_of_the_least_error_and_each_target_its_noise() -> None:
    inputs, targets = bent_rows(80)
    targets[:, 1] = np.random.default_rng(2).normal(size=80)  # nothing can be known of it
    every = (inputs, targets, np.ones(80), np.ones((80, 2), bool))
    errors = [fit_kernel(*every, (length,)).error for length in LENGTHS]
    found = fit_kernel(*every, LENGTHS)
    assert found.length == LENGTHS[int(np.argmin(errors))]
    learned = np.abs(found.predict(inputs) - targets).mean(axis=0)
    assert learned[0] < 0.2 < 0.6 < learned[1]


def test_a_missing_target_has_no_say_in_how_a_kernel_is_chosen() -> None:
    inputs, targets = bent_rows(100)
    known = np.ones((100, 2), bool)
    known[::3] = False
    filled = np.where(known, targets, np.random.default_rng(4).normal(0, 9, (100, 2)))
    found = fit_kernel(inputs, filled, np.ones(100), known, LENGTHS)
    every = fit_kernel(inputs, filled, np.ones(100), np.ones((100, 2), bool), LENGTHS)
    gaps = [np.square(k.predict(inputs) - targets)[known].mean() for k in (found, every)]
    assert gaps[0] < 0.9 * gaps[1]


def test_a_kernel_is_refused_where_it_would_be_inexact() -> None:
    pytest.importorskip("jax")
    program = (
        "from tasks.learning.networks.kernel import KernelRegression as K; K(2, 1).build((None, 3))"
    )
    environment = surroundings({"KERAS_BACKEND": "jax"})
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "jax has only single precision here: set KERAS_BACKEND=tensorflow" in ran.stderr
    exact = environment | {"JAX_ENABLE_X64": "1"}
    subprocess.run([sys.executable, "-c", program], env=exact, check=True)


@needs_exact
@pytest.mark.parametrize("split", ["random", "time"])
def test_kernel_regression_has_the_greatest_share_of_what_is_smooth(split: str) -> None:
    inputs, _ = bent_rows(240)
    smooth = np.sin(inputs[:, 0]) + inputs[:, 1] * inputs[:, 2]
    rows = Arrays(inputs.astype("f"), smooth[:, None].astype("f"), np.ones(240, np.float32))
    folds = fold_of_rows(240, split, seed=0)
    beside = Beside(rows, folds, folds == 0, split == "time", seed=0)
    names = [part.name for part in beside.parts]
    weights = blend_weights(np.stack([p.said for p in beside.parts]), smooth[:, None], rows.weight)
    assert weights[names.index("kernel"), 0] > 0.7


@needs_exact
def test_there_is_no_kernel_regression_of_many_rows() -> None:
    inputs, targets = bent_rows(MOST_NEAR + 1)
    weight = np.ones(MOST_NEAR + 1, np.float32)
    rows = Arrays(inputs[:, :1].astype("f"), targets[:, :1].astype("f"), weight)
    held = np.arange(len(weight)) < 300
    assert "kernel" not in [p.name for p in Beside(rows, None, held, False, seed=0).parts]
    fewer = Arrays(*(a[:MOST_NEAR] for a in (rows.inputs, rows.targets, rows.weight)))
    assert "kernel" in [p.name for p in Beside(fewer, None, held[:-1], False, seed=0).parts]
