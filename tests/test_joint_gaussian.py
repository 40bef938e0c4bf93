"""`joint_gaussian`: the exact likelihood with missing targets, and correlations that are true."""

from typing import Any

import numpy as np
import pytest
from keras import ops
from scipy.stats import multivariate_normal

from tasks.learning.errors import NotPositiveDefinite
from tasks.learning.fitting import fit_network
from tasks.learning.gaussian import cholesky
from tasks.learning.networks import architecture
from tasks.learning.networks.joint_gaussian import JointLikelihood, rank_of
from tasks.learning.shards import Arrays
from tests.builders import plain_layout, small_contract
from tests.test_losses import gradient_of

DRAW = np.random.default_rng(0)
TARGETS = 4


def covariance_of(raw: np.ndarray, rank: int | None) -> np.ndarray:
    """Return the covariance of one row's raw numbers, in plain NumPy."""
    soft = np.logaddexp(0.0, raw)
    if rank is None:
        factor = np.zeros((TARGETS, TARGETS))
        factor[np.tril_indices(TARGETS)] = raw
        own = [i * (i + 3) // 2 for i in range(TARGETS)]
        factor[np.diag_indices(TARGETS)] = soft[own] + 1e-3
        return factor @ factor.T
    directions = raw[TARGETS:].reshape(TARGETS, rank)
    return np.diag((soft[:TARGETS] + 1e-2) ** 2) + directions @ directions.T


@pytest.mark.parametrize("rank", [None, 2])
def test_the_likelihood_is_that_of_the_observed_targets(rank: int | None) -> None:
    numbers = TARGETS * (TARGETS + 1) // 2 if rank is None else TARGETS * (1 + rank)
    output = DRAW.normal(size=(6, TARGETS + numbers)).astype(np.float32)
    truth = DRAW.normal(size=(6, TARGETS)).astype(np.float32)
    truth[1, 2] = truth[2, [0, 3]] = truth[3, [0, 1, 2]] = truth[4] = np.nan
    found = JointLikelihood(TARGETS, rank)(truth, ops.array(output), True)
    for row, value in enumerate(np.asarray(ops.convert_to_numpy(found))[:, 0] * TARGETS):
        seen = ~np.isnan(truth[row])
        if not seen.any():
            assert value == 0
            continue
        whole = covariance_of(output[row, TARGETS:].astype(float), rank)
        own = multivariate_normal(output[row, :TARGETS][seen], whole[np.ix_(seen, seen)])
        assert value == pytest.approx(-own.logpdf(truth[row][seen]), rel=5e-3, abs=1e-3)


@pytest.mark.parametrize("rank", [None, 2])
def test_the_gradient_is_right_and_exactly_zero_for_a_missing_target(rank: int | None) -> None:
    numbers = TARGETS * (TARGETS + 1) // 2 if rank is None else TARGETS * (1 + rank)
    at = DRAW.normal(size=(1, TARGETS + numbers)).astype(np.float32)
    truth = np.array([[0.5, np.nan, -1.0, 0.2]], np.float32)
    likelihood = JointLikelihood(TARGETS, rank)

    def loss(output: Any) -> Any:
        return ops.sum(likelihood(truth, ops.convert_to_tensor(output), True))

    slope = gradient_of(loss, at)[0]
    assert slope[1] == 0
    for i in (0, 2, TARGETS, TARGETS + 3, TARGETS + 5):
        above, below = at.copy(), at.copy()
        above[0, i] += 0.01
        below[0, i] -= 0.01
        gap = float(loss(ops.array(above))) - float(loss(ops.array(below)))
        assert slope[i] == pytest.approx(gap / 0.02, rel=0.02, abs=2e-3)


FREE = np.array([[1.0, 0.8, -0.5], [0.8, 1.0, -0.3], [-0.5, -0.3, 1.0]])
LOADINGS = np.array([0.9, 0.8, -0.6])
ONE_DIRECTION = np.outer(LOADINGS, LOADINGS) + np.diag(1 - LOADINGS**2)


def problem(correlation: np.ndarray, rows: int, seed: int, missing: float = 0.0) -> Arrays:
    """Return rows whose targets go together as they are told to, with a noise that grows."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, (rows, 2)).astype(np.float32)
    noise = draw.multivariate_normal(np.zeros(3), correlation, rows)
    size = 0.3 + 0.2 * (inputs[:, :1] + 1)
    targets = np.stack([inputs[:, 0], inputs[:, 1], inputs.sum(axis=1)], axis=1) + size * noise
    targets[draw.random(targets.shape) < missing] = np.nan
    return Arrays(inputs, targets.astype(np.float32), np.ones(rows, np.float32))


@pytest.mark.parametrize(
    ("missing", "covariance", "truth", "within"),
    [(0.0, "full", FREE, 0.07), (0.3, "full", FREE, 0.1), (0.0, "low_rank", ONE_DIRECTION, 0.07)],
    ids=["full", "missing", "low_rank"],
)
def test_samples_go_together_as_the_truth_does(
    missing: float, covariance: str, truth: np.ndarray, within: float
) -> None:
    recipe = {"architecture": "joint_gaussian", "covariance": covariance, "rank": 1}
    recipe |= {"hidden": [16, 16], "activation": "tanh", "epochs": 60, "batch_size": 125}
    recipe |= {"learning_rate": 5e-3, "schedule": "cosine", "averaging": "ema"}
    contract = small_contract(recipe=recipe)
    train, validation = problem(truth, 4000, 0, missing), problem(truth, 1000, 1, missing)
    layout = plain_layout(train)
    network, _ = fit_network(contract, layout, train, validation)
    kind = architecture("joint_gaussian")
    settings = kind.settings(contract.recipe, layout)
    inputs = problem(truth, 50, 2).inputs
    # Rows share their noise, so that more rows would not make up for fewer draws.
    answer = kind.answer(network, inputs, settings, 4000, np.random.default_rng(0))
    assert answer.samples is not None
    assert answer.spread is not None
    gaps = (answer.samples - answer.mean[:, None]) / answer.spread[:, None]
    found = np.corrcoef(gaps.reshape(-1, 3).T)
    np.testing.assert_allclose(found, truth, atol=within)
    size = 0.3 + 0.2 * (inputs[:, 0] + 1)
    np.testing.assert_allclose(answer.spread.mean(axis=1), size, rtol=0.35)
    np.testing.assert_allclose(answer.samples.mean(axis=1), answer.mean, atol=1e-9)


def test_a_covariance_that_is_none_is_told_with_its_least_eigenvalue() -> None:
    with pytest.raises(NotPositiveDefinite, match=r"the covariance of x.*-1"):
        cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]), "the covariance of x")


def test_a_covariance_with_a_value_that_is_no_number_is_told() -> None:
    with pytest.raises(NotPositiveDefinite, match=r"x: .*came a value that is no number"):
        cholesky(np.array([[1.0, np.nan], [np.nan, 1.0]]), "the covariance of x")


@pytest.mark.parametrize("targets", [6, 50])
def test_targets_that_say_nearly_the_same_have_a_loss_and_a_gradient(targets: int) -> None:
    draw = np.random.default_rng(0)
    factor = np.broadcast_to(10 * np.abs(draw.normal(size=(8, targets, 1))), (8, targets, targets))
    factor = np.where(np.eye(targets), -30.0, factor)
    raw = np.zeros((8, targets * (targets + 3) // 2), np.float32)
    rows, columns = np.tril_indices(targets)
    raw[:, targets:] = factor[:, rows, columns]
    truth = draw.normal(size=(8, targets)).astype(np.float32)
    truth[:4][draw.random((4, targets)) < 0.3] = np.nan
    likelihood = JointLikelihood(targets, None)
    assert np.isfinite(ops.convert_to_numpy(likelihood(truth, ops.array(raw), True))).all()
    slope = gradient_of(lambda output: ops.sum(likelihood(truth, output, True)), raw)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("options", "targets", "rank"),
    [
        ({}, 50, None),
        ({}, 51, 8),
        ({"covariance": "full"}, 51, None),
        ({"covariance": "low_rank"}, 3, 3),
    ],
)
def test_the_covariance_is_full_up_to_fifty_targets(
    options: dict[str, Any], targets: int, rank: int | None
) -> None:
    recipe: Any = small_contract(recipe={"architecture": "joint_gaussian"} | options).recipe
    assert rank_of(recipe, targets) == rank
