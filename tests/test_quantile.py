"""Quantiles: in order on any input, masked, and covering what they say on held-out rows."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tasks.learning.fitting import fit_network
from tasks.learning.networks import architecture
from tasks.learning.networks.quantile import (
    OrderedQuantiles,
    PinballLosses,
    interpolate,
    normal_scores,
)
from tasks.learning.predictions import Answer
from tasks.learning.shards import Arrays
from tests.builders import plain_layout, small_contract
from tests.test_losses import gradient_of

NAN = float("nan")
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def heteroscedastic(seed: int, rows: int, missing: float = 0.0) -> Arrays:
    """Return rows whose first target is wider where the first input is greater; the second one
    has a long tail."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, (rows, 2))
    wide = np.sin(2 * inputs[:, 1]) + (0.6 + 0.5 * inputs[:, 0]) * draw.normal(size=rows)
    skewed = inputs[:, 0] + 0.3 * draw.gamma(3.0, size=rows)
    truth = np.stack([wide, skewed], axis=1)
    truth[draw.random(truth.shape) < missing] = NAN
    return Arrays(inputs.astype("f"), truth.astype("f"), np.ones(rows, "f"))


TRAIN, VALIDATION = heteroscedastic(1, 4000, missing=0.2), heteroscedastic(2, 1500, missing=0.2)
TEST = heteroscedastic(3, 4000)


def trained(**options: Any) -> keras.Model:
    recipe = {"architecture": "quantile", "hidden": [32], "batch_size": 125}
    contract = small_contract(recipe=recipe | {"learning_rate": 5e-3, "epochs": 30} | options)
    return fit_network(contract, plain_layout(TRAIN), TRAIN, VALIDATION)[0]


def answered(network: keras.Model, inputs: np.ndarray, draws: int = 0) -> Answer:
    settings = {"levels": list(LEVELS), "targets": 2}
    random = np.random.default_rng(0)
    return architecture("quantile").answer(network, inputs, settings, draws, random)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return trained()


def test_the_loss_is_the_mean_pinball_loss_of_what_is_observed() -> None:
    truth = np.array([[1.0, NAN], [0.0, 2.0]], np.float32)
    output = np.random.default_rng(0).normal(size=(2, 2, 5)).astype(np.float32)
    gap = np.nan_to_num(truth)[..., None] - output
    expected = np.maximum(np.array(LEVELS) * gap, (np.array(LEVELS) - 1) * gap).mean(axis=-1)
    expected[0, 1] = 0
    found = ops.convert_to_numpy(PinballLosses("ab", LEVELS)(truth, ops.array(output), True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_missing_cell_has_a_gradient_of_exactly_zero() -> None:
    truth = np.array([[1.0, NAN], [NAN, 2.0]], np.float32)
    output = np.array([[[3.0] * 5, [1e30] * 5], [[0.0] * 5, [5.0] * 5]], np.float32)
    losses = PinballLosses("ab", LEVELS)
    slopes = gradient_of(lambda o: ops.sum(losses(truth, o, True)), output)
    assert not slopes[np.isnan(truth)].any()
    assert slopes[~np.isnan(truth)].all()


def test_raw_numbers_of_nothing_stand_for_the_normal_distribution() -> None:
    raw = np.zeros((3, 10), np.float32)
    found = ops.convert_to_numpy(OrderedQuantiles(list(LEVELS))(raw))
    np.testing.assert_allclose(found, np.broadcast_to(normal_scores(LEVELS), (3, 2, 5)), rtol=1e-5)


def test_quantiles_never_cross_whatever_the_raw_numbers() -> None:
    draw = np.random.default_rng(0)
    levels = [float(level) for level in np.linspace(0.01, 0.99, 99).round(2)]
    scale = 10.0 ** draw.uniform(-6, 12, (2000, 1))
    raw = (scale * draw.normal(size=(2000, 99))).astype(np.float32)
    found = np.asarray(ops.convert_to_numpy(OrderedQuantiles(levels)(raw)))
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) >= 0).all()


def test_quantiles_never_cross_on_wild_inputs(network: keras.Model) -> None:
    draw = np.random.default_rng(0)
    for scale in (1.0, 1e3, 1e8):
        inputs = (scale * draw.standard_t(2, (2000, 2))).astype(np.float32)
        quantiles = answered(network, inputs).quantiles
        assert quantiles is not None
        assert (np.diff([quantiles[level] for level in LEVELS], axis=0) >= 0).all()


def test_intervals_cover_held_out_rows_as_they_say(network: keras.Model) -> None:
    quantiles = answered(network, TEST.inputs).quantiles
    assert quantiles is not None
    below = {level: (TEST.targets <= quantiles[level]).mean(axis=0) for level in LEVELS}
    np.testing.assert_allclose(below[0.95] - below[0.05], 0.9, atol=0.03)
    np.testing.assert_allclose(below[0.75] - below[0.25], 0.5, atol=0.05)
    wide = TEST.inputs[:, 0] > 0.5
    covered = (TEST.targets >= quantiles[0.05]) & (TEST.targets <= quantiles[0.95])
    np.testing.assert_allclose([covered[wide, 0].mean(), covered[~wide, 0].mean()], 0.9, atol=0.05)


def test_the_point_is_the_median(network: keras.Model) -> None:
    answer = answered(network, TEST.inputs)
    assert answer.quantiles is not None
    np.testing.assert_array_equal(answer.mean, answer.quantiles[0.5])
    assert answer.samples is None


def test_samples_have_the_quantiles_they_come_from(network: keras.Model) -> None:
    answer = answered(network, TEST.inputs[:50], draws=4000)
    assert answer.samples is not None
    assert answer.quantiles is not None
    for level, values in answer.quantiles.items():
        share = (answer.samples <= values[:, None]).mean(axis=1)
        np.testing.assert_allclose(share, level, atol=0.02)


def test_samples_between_a_normal_distributions_quantiles_are_normal() -> None:
    noise = np.random.default_rng(0).normal(size=(50, 2))
    scores = normal_scores(LEVELS)
    quantiles = np.stack([3 + 2 * scores, -1 + 0.5 * scores])[None]
    found = interpolate(quantiles, scores, noise)
    np.testing.assert_allclose(found[0], [3, -1] + np.array([2, 0.5]) * noise)


def test_a_median_alone_has_no_samples() -> None:
    contract = small_contract(recipe={"architecture": "quantile", "levels": [0.5], "hidden": [4]})
    kind, layout = architecture("quantile"), plain_layout(TRAIN)
    settings = kind.settings(contract.recipe, layout)
    random = np.random.default_rng(0)
    built = kind.build(contract.recipe, layout)
    answer = kind.answer(built, TEST.inputs[:3], settings, 10, random)
    assert answer.samples is None
    assert answer.mean.shape == (3, 2)
