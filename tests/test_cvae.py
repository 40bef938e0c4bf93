"""The conditional variational autoencoder: its bound, its answers, and a problem of two modes."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tasks.backends import backend
from tasks.learning.networks import architecture
from tasks.learning.networks.cvae import Cvae, Reconstruction, decoded
from tasks.learning.predictions import Values
from tests.builders import plain_layout, small_contract
from tests.test_losses import gradient_of, raw_of
from tests.two_modes import TEST, TRAIN, answered, gaussian_scores, scores, shares, trained

NAN = float("nan")
TRUTH = np.array([[0.3, -1.0], [NAN, 0.7], [2.0, NAN], [NAN, NAN]], np.float32)
MEANS = np.array([[0.0, 0.5], [9.0, 1.0], [1.0, 1e18], [3.0, 4.0]])
SPREADS = np.array([[0.5, 2.0], [3.0, 0.1], [1.0, 7.0], [0.2, 0.3]])
OUTPUT = np.concatenate([MEANS, np.vectorize(raw_of)(SPREADS)], axis=1).astype(np.float32)


def recipe_of(**options: Any) -> Any:
    return small_contract(recipe={"architecture": "cvae", "hidden": [8]} | options).recipe


def trainee_of(**options: Any) -> Any:
    keras.utils.set_random_seed(0)
    recipe, layout, kind = recipe_of(**options), plain_layout(TRAIN), Cvae()
    return kind.trainee(kind.build(recipe, layout), recipe, layout)


def test_the_likelihood_is_that_of_the_observed_targets() -> None:
    from scipy.stats import norm

    expected = np.nansum(norm(MEANS, SPREADS).logpdf(TRUTH), axis=1)
    found = ops.convert_to_numpy(decoded(TRUTH, ops.array(OUTPUT)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    losses = ops.convert_to_numpy(Reconstruction(2)(TRUTH, ops.array(OUTPUT), True))
    np.testing.assert_allclose(losses, -expected[:, None] / 2, rtol=1e-4)


def test_a_missing_cell_has_a_gradient_of_exactly_zero() -> None:
    slopes = gradient_of(lambda o: ops.sum(decoded(TRUTH, o)), OUTPUT)
    missing = np.tile(np.isnan(TRUTH), (1, 2))
    assert not slopes[missing].any()
    assert slopes[~missing].all()


def test_what_is_missing_changes_no_loss_and_no_slope() -> None:
    trainee = trainee_of()
    inputs, truth = ops.array(TRAIN.inputs[:4]), ops.array(TRUTH)
    losses = ops.convert_to_numpy(trainee.losses_of(inputs, truth, inputs, False))
    assert np.isfinite(losses).all()
    assert losses[3] == 0
    nothing = ops.full((4, 2), NAN)

    def loss() -> Any:
        return ops.sum(trainee.losses_of(inputs, nothing, inputs, True), axis=0)

    kernels = [v for v in trainee.trainable_variables if v.name == "kernel"]
    assert not any(backend().gradients(loss, kernel).any() for kernel in kernels)


def test_the_bound_meets_the_likelihood_where_the_latent_vector_says_nothing() -> None:
    trainee = trainee_of()
    # A decoder that no latent vector reaches, and an encoder that says the prior.
    first = trainee.network.get_layer("decoder_0")
    kernel = np.asarray(ops.convert_to_numpy(first.kernel)).copy()
    kernel[-4:] = 0
    first.kernel.assign(kernel)
    last = trainee.encoder.get_layer("encoder_output")
    last.kernel.assign(np.zeros(last.kernel.shape))
    last.bias.assign([0.0] * 4 + [raw_of(1.0)] * 4)
    inputs, truth = ops.array(TRAIN.inputs[:50]), ops.array(TRAIN.targets[:50])
    output = trainee.network([inputs, ops.zeros((50, 4))])
    expected = -ops.convert_to_numpy(decoded(truth, output)) / 2
    for training in (True, False):
        found = ops.convert_to_numpy(trainee.losses_of(inputs, truth, inputs, training))
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_validation_says_the_same_each_time_and_a_step_does_not() -> None:
    trainee = trainee_of(warm_up=0)
    inputs, truth = ops.array(TRAIN.inputs[:50]), ops.array(TRAIN.targets[:50])

    def loss(training: bool) -> float:
        return float(ops.sum(trainee.losses_of(inputs, truth, inputs, training)))

    assert loss(False) == loss(False)
    assert loss(True) != loss(True)


def test_the_prior_counts_for_nothing_at_the_first_step_and_in_full_after_the_warm_up() -> None:
    trainee = trainee_of(beta=0.5, warm_up=2, batch_size=500)
    weights = []
    for step in (0, 3, 6, 100):  # 1500 rows: three steps an epoch.
        trainee.steps.assign(step)
        weights.append(float(trainee.prior_weight()))
    assert weights == [0.0, 0.25, 0.5, 0.5]


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return trained("cvae", epochs=40, coder_width=48)[0]


def samples_of(network: keras.Model, draws: int) -> Values:
    samples = answered("cvae", network, draws).samples
    assert samples is not None
    return samples


def test_both_modes_are_found_and_targets_flip_together(network: keras.Model) -> None:
    samples = samples_of(network, 200)
    up, down, middle = shares(samples)
    assert abs(up.mean() - 0.5) < 0.12
    assert abs(down.mean() - 0.5) < 0.12
    assert middle < 0.1
    assert (samples[..., 0] * samples[..., 1] < 0).mean() > 0.93


def test_samples_score_better_than_one_gaussians(network: keras.Model) -> None:
    assert (scores(samples_of(network, 100)) < 0.95 * gaussian_scores()).all()


def test_mean_and_deviation_are_those_of_the_samples(network: keras.Model) -> None:
    answer = answered("cvae", network, 1000)
    assert answer.samples is not None
    assert answer.spread is not None
    np.testing.assert_allclose(answer.samples.mean(axis=1), answer.mean, atol=0.02)
    np.testing.assert_allclose(answer.samples.std(axis=1), answer.spread, atol=0.05)
    alone = answered("cvae", network, 0)
    assert alone.samples is None
    np.testing.assert_allclose(alone.mean, answer.mean, atol=0.3)


def test_rows_are_answered_alike_whatever_is_decoded_at_a_time(
    network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answered("cvae", network, 3)
    monkeypatch.setattr("tasks.learning.networks.cvae.PAIRS", 64 * 150)
    parts = answered("cvae", network, 3)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-4, atol=1e-5)
    assert parts.samples is not None
    assert whole.samples is not None
    np.testing.assert_allclose(parts.samples, whole.samples, rtol=1e-4, atol=1e-5)
    assert whole.samples.shape == (len(TEST.inputs), 3, 2)


def test_the_encoder_is_left_behind(network: keras.Model) -> None:
    assert [tuple(i.shape) for i in network.inputs] == [(None, 2), (None, 4)]
    assert not any("encoder" in layer.name for layer in network.layers)
    assert isinstance(architecture("cvae"), Cvae)
