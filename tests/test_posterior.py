"""The posterior of `deep_gp`: exact, per set of train rows that a target lacks, and kept in the
file; and the layers below it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tasks.learning.architecture import run_network
from tasks.learning.networks.deep_gp import DeepGp, patterns
from tasks.learning.networks.posterior import RIDGES, nearest_correlation, noise_covariance
from tasks.learning.networks.spectral import BoundedDense, RandomFeatures
from tasks.learning.shards import Arrays
from tests.builders import plain_layout, small_contract

NAN = float("nan")


def rows(count: int, seed: int) -> Arrays:
    """Return rows of three targets, of which the last lacks values that the others have."""
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(count, 2))
    targets = np.stack([np.sin(inputs[:, 0]), inputs[:, 1], inputs.sum(axis=1)], axis=1)
    targets += draw.normal(size=targets.shape) * 0.2
    targets[inputs[:, 0] > 0.5, 2] = NAN
    return Arrays(inputs.astype("f"), targets.astype("f"), draw.uniform(0.5, 2, count).astype("f"))


@pytest.fixture(scope="module")
def finished() -> tuple[keras.Model, Any, Arrays, Arrays]:
    keras.utils.set_random_seed(0)
    recipe = small_contract(
        recipe={"architecture": "deep_gp", "hidden": [8, 8], "features": 16}
    ).recipe
    train, validation = rows(400, 0), rows(150, 1)
    layout, kind = plain_layout(train), DeepGp()
    network = kind.build(recipe, layout)
    kind.finish(network, recipe, layout, validation, None)
    return network, kind.settings(recipe, layout), train, validation


def test_the_posterior_is_that_of_bayesian_linear_regression(finished: Any) -> None:
    network, _, train, validation = finished
    layer = network.get_layer("posterior")
    assert layer.groups == [0, 0, 1]
    below = keras.Model(network.input, layer.input)
    seen, new = (run_network(below, a.inputs) for a in (train, validation))
    raw = run_network(network, validation.inputs)
    for target in range(3):
        known = ~np.isnan(train.targets[:, target])
        x, y = seen[known], train.targets[known, target].astype(float)
        weight = train.weight[known].astype(float)
        fits = []
        for ridge in RIDGES:
            precision = x.T @ (x * weight[:, None]) + ridge * np.eye(x.shape[1])
            mean = new @ np.linalg.solve(precision, x.T @ (weight * y))
            factor = np.sum(new * np.linalg.solve(precision, new.T).T, axis=1)
            mean_fits = np.allclose(raw[:, target], mean, rtol=1e-3, atol=1e-3)
            fits.append(mean_fits and np.allclose(raw[:, 3 + target], factor, rtol=1e-2, atol=1e-5))
        assert sum(fits) == 1


def test_targets_that_lack_other_rows_have_other_factors(finished: Any) -> None:
    network, _, _, _ = finished
    raw = run_network(network, np.array([[2.0, 0.0], [-1.0, 0.0]], np.float32))
    np.testing.assert_array_equal(raw[:, 3], raw[:, 4])
    # No row with a first input above 0.5 has the last target.
    assert raw[0, 5] > 2 * raw[0, 3]


def test_the_file_holds_the_posterior(finished: Any, tmp_path: Path) -> None:
    network, settings, _, validation = finished
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    before, after = (
        DeepGp().answer(n, validation.inputs, settings, 4, np.random.default_rng(0))
        for n in (network, again)
    )
    np.testing.assert_array_equal(before.samples, after.samples)
    np.testing.assert_array_equal(before.spread, after.spread)
    assert before.samples is not None
    np.testing.assert_allclose(before.samples.mean(axis=1), before.mean, atol=1e-9)


def test_a_target_without_validation_values_is_judged_by_train_rows(finished: Any) -> None:
    _, settings, train, validation = finished
    recipe = small_contract(recipe={"architecture": "deep_gp", "hidden": [8], "features": 8}).recipe
    layout, kind = plain_layout(train), DeepGp()
    network = kind.build(recipe, layout)
    blind = np.where([False, True, False], NAN, validation.targets).astype("f")
    kind.finish(network, recipe, layout, Arrays(validation.inputs, blind, validation.weight), None)
    answer = kind.answer(network, train.inputs, settings, 0, np.random.default_rng(0))
    assert answer.spread is not None
    gap = train.targets[:, 1] - answer.mean[:, 1]
    assert answer.spread[:, 1].mean() == pytest.approx(gap.std(), rel=0.1)


def test_targets_are_grouped_by_the_train_rows_that_lack_them() -> None:
    targets = np.array([[1, NAN, 1, NAN], [1, 1, NAN, 1], [1, 1, 1, 1]], np.float32)
    layout = plain_layout(Arrays(np.zeros((3, 1), "f"), targets, np.ones(3, "f")))
    assert patterns(layout) == [0, 1, 2, 1]


def test_the_noise_is_judged_by_pairs_of_what_is_there() -> None:
    draw = np.random.default_rng(0)
    truth = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.5], [0.0, -0.5, 0.5]])
    gaps = draw.multivariate_normal(np.zeros(3), truth, 20_000)
    factors = draw.uniform(0, 1, gaps.shape)
    targets = gaps * np.sqrt(1 + factors)
    targets[draw.random(targets.shape) < 0.3] = NAN
    raw = np.concatenate([np.zeros_like(factors), factors], axis=1)
    found = noise_covariance(raw, targets, np.ones(len(targets)))
    np.testing.assert_allclose(found, truth, atol=0.06)


def test_targets_that_are_the_same_or_never_seen_leave_the_noise_positive_definite() -> None:
    one = np.random.default_rng(0).normal(size=(200, 1))
    targets = np.concatenate([one, one, -one, np.full_like(one, NAN)], axis=1)
    found = noise_covariance(np.zeros((200, 8)), targets, np.ones(200))
    assert np.linalg.eigvalsh(found)[0] > 0
    assert found[0, 1] == pytest.approx(np.var(one), rel=0.1)
    assert found[3, 3] == pytest.approx(1.0)
    np.testing.assert_array_equal(found[3, :3], 0)


def test_correlations_that_hold_already_are_left_alone() -> None:
    held = np.array([[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(nearest_correlation(held), held)
    broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    mended = nearest_correlation(broken)
    assert np.linalg.eigvalsh(mended)[0] > 0
    np.testing.assert_allclose(np.diag(mended), 1.0)


def test_a_bounded_layer_stretches_no_distance_by_more_than_its_bound() -> None:
    keras.utils.set_random_seed(0)
    layer = BoundedDense(6, 0.9)
    model = keras.Sequential([keras.Input((5,)), layer])
    draw = np.random.default_rng(0)
    inputs, pull = draw.normal(size=(256, 5)), 3 * draw.normal(size=(5, 6))
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="mse")
    model.fit(inputs, inputs @ pull, epochs=30, verbose=0)
    held = np.linalg.svd(np.asarray(keras.ops.convert_to_numpy(layer.kernel)))[1][0]
    assert held > 1.5
    zero = model.predict(np.zeros((1, 5)), verbose=0)
    effective = model.predict(np.eye(5), verbose=0) - zero
    # Power iterations follow a moving kernel from a little way behind.
    assert np.linalg.svd(effective)[1][0] == pytest.approx(0.9, rel=0.05)


def test_random_features_stand_for_a_gaussian_kernel_and_a_linear_one() -> None:
    keras.utils.set_random_seed(0)
    layer = RandomFeatures(4000)
    points = np.random.default_rng(0).normal(size=(20, 3)).astype("f")
    layer.build((None, 3))
    layer.log_length.assign(np.log(2.0))
    found = np.asarray(keras.ops.convert_to_numpy(layer(points)))
    near = points / 2.0
    apart = np.square(near[:, None] - near[None]).sum(axis=-1)
    np.testing.assert_allclose(found @ found.T, np.exp(-apart / 2) + near @ near.T + 1, atol=0.1)


def test_the_length_scale_starts_at_a_usual_distance_between_rows() -> None:
    layer = RandomFeatures(8)
    layer.build((None, 1))
    layer.start(np.array([[0.0], [0.0], [0.0], [3.0], [3.0], [3.0]]))
    assert float(keras.ops.convert_to_numpy(layer.log_length)) == pytest.approx(np.log(3.0))
    layer.start(np.ones((6, 1)))
    assert float(keras.ops.convert_to_numpy(layer.log_length)) == 0
