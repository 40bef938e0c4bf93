"""The mixture of Gaussians: its exact likelihood, its answers, and a problem of two modes."""

import keras
import numpy as np
import pytest
from keras import ops

from tasks.learning.losses import LEAST_SPREAD
from tasks.learning.networks.mixture import MixtureLikelihood, draw_joint
from tests.test_losses import gradient_of
from tests.two_modes import answered, gaussian_scores, scores, shares, trained

NAN = float("nan")
COMPONENTS, TARGETS, ROWS = 3, 2, 4
TRUTH = np.array([[0.3, -1.0], [NAN, 0.7], [2.0, NAN], [NAN, NAN]], np.float32)


def raw_output(seed: int = 0) -> np.ndarray:
    width = COMPONENTS * (1 + 2 * TARGETS)
    return np.random.default_rng(seed).normal(0, 0.5, (ROWS, width)).astype(np.float32)


def loss_of(truth: np.ndarray, raw: np.ndarray) -> np.ndarray:
    found = MixtureLikelihood(COMPONENTS, TARGETS)(truth, ops.array(raw), True)
    return np.asarray(ops.convert_to_numpy(found))


def parts_of(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, means and deviations of the raw output, read by what its docstring says."""
    exact = raw.astype(float)
    weights = np.exp(exact[:, :COMPONENTS])
    weights /= weights.sum(axis=1, keepdims=True)
    means = exact[:, 3:9].reshape(ROWS, COMPONENTS, TARGETS)
    spreads = np.log1p(np.exp(exact[:, 9:])).reshape(ROWS, COMPONENTS, TARGETS) + LEAST_SPREAD
    return weights, means, spreads


def test_the_likelihood_is_that_of_the_observed_targets() -> None:
    from scipy.stats import norm

    raw = raw_output()
    expected = []
    for row, (weights, means, spreads) in enumerate(zip(*parts_of(raw), strict=True)):
        seen = ~np.isnan(TRUTH[row])
        density = norm(means[:, seen], spreads[:, seen]).pdf(TRUTH[row, seen]).prod(axis=1)
        expected.append([-np.log(weights @ density) / TARGETS])
    np.testing.assert_allclose(loss_of(TRUTH, raw), expected, rtol=1e-5, atol=1e-6)


def test_a_missing_cell_adds_nothing_whatever_is_predicted_for_it() -> None:
    raw = raw_output()
    wild = raw.reshape(ROWS, -1).copy()
    of_first = [3, 5, 7, 9, 11, 13]  # Means and deviations of the first target.
    wild[1, of_first] = [1e30, -1e30, 5.0, 1e30, -1e30, 0.0]
    np.testing.assert_array_equal(loss_of(TRUTH, wild)[1], loss_of(TRUTH, raw)[1])
    assert loss_of(TRUTH, wild)[3] == 0


def test_a_missing_cell_has_a_gradient_of_exactly_zero() -> None:
    raw = raw_output()
    raw[1, 3] = 1e30
    loss = MixtureLikelihood(COMPONENTS, TARGETS)
    slopes = gradient_of(lambda r: ops.sum(loss(TRUTH, r, True)), raw)
    of_first = np.zeros(raw.shape[1], bool)
    of_first[[3, 5, 7, 9, 11, 13]] = True
    of_second = ~of_first
    of_second[:COMPONENTS] = False
    assert not slopes[1, of_first].any()
    assert not slopes[2, of_second].any()
    assert not slopes[3].any()
    assert slopes[0].all()
    assert slopes[1, of_second].all()


def test_a_truth_far_off_has_a_finite_loss_and_slope() -> None:
    raw = raw_output()
    raw[:, 9:] = -100.0  # The least deviation there is.
    loss = MixtureLikelihood(COMPONENTS, TARGETS)
    far = np.where(np.isnan(TRUTH), NAN, 1e6).astype(np.float32)
    assert np.isfinite(loss_of(far, raw)).all()
    assert np.isfinite(gradient_of(lambda r: ops.sum(loss(far, r, True)), raw)).all()


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return trained("mixture", epochs=25)[0]


def test_mean_and_deviation_are_those_of_the_samples(network: keras.Model) -> None:
    answer = answered("mixture", network, 4000)
    assert answer.samples is not None
    assert answer.spread is not None
    np.testing.assert_allclose(answer.samples.mean(axis=1), answer.mean, atol=0.04)
    np.testing.assert_allclose(answer.samples.std(axis=1), answer.spread, atol=0.04)


def test_both_modes_are_found_and_targets_flip_together(network: keras.Model) -> None:
    samples = answered("mixture", network, 200).samples
    assert samples is not None
    up, down, middle = shares(samples)
    assert abs(up.mean() - 0.5) < 0.12
    assert abs(down.mean() - 0.5) < 0.12
    assert middle < 0.03
    assert (samples[..., 0] * samples[..., 1] < 0).mean() > 0.97


def test_samples_score_better_than_one_gaussians(network: keras.Model) -> None:
    samples = answered("mixture", network, 100).samples
    assert samples is not None
    assert (scores(samples) < 0.95 * gaussian_scores()).all()


def test_a_component_is_drawn_as_often_as_it_weighs() -> None:
    weights = parts_of(raw_output())[0]
    which = np.eye(COMPONENTS)[None].repeat(ROWS, axis=0)
    random = np.random.default_rng(0)
    samples = draw_joint(weights, which, np.zeros_like(which), 50, random)
    np.testing.assert_allclose(samples.mean(axis=1), weights, atol=2 / 50)


def test_components_of_one_row_are_drawn_alike_alone_and_among_others() -> None:
    parts = parts_of(raw_output())
    every = draw_joint(*parts, 7, np.random.default_rng(0))
    alone = draw_joint(*(p[2:3] for p in parts), 7, np.random.default_rng(0))
    np.testing.assert_array_equal(alone[0], every[2])
