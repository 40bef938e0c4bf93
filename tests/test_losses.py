"""Losses of single targets: weighed, masked, and what they say of known errors."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tasks.backends import backend
from tasks.learning.losses import HUBER_DELTA, LEAST_SPREAD, TargetLosses
from tasks.learning.trainee import Trainee

NAN = float("nan")
KINDS = ("mse", "mae", "huber", "log_cosh", "quantile", "gaussian_nll", "crps")


def loss_of(losses: list[str], truth: Any, output: Any, training: bool = True) -> np.ndarray:
    names = [f"t{i}" for i in range(len(losses))]
    objective = TargetLosses(names, losses, [0.9] * len(losses))
    found = objective(np.asarray(truth, "f"), ops.array(np.asarray(output, "f")), training)
    return np.asarray(ops.convert_to_numpy(found))


def raw_of(spread: float) -> float:
    """Return the raw output that stands for a deviation."""
    return math.log(math.expm1(spread - LEAST_SPREAD))


def test_each_target_has_its_own_loss() -> None:
    found = loss_of(["mse", "mae", "huber", "log_cosh"], [[0.0] * 4], [[3.0, -2.0, 5.0, 2.0]])
    huber = HUBER_DELTA * (5.0 - 0.5 * HUBER_DELTA)
    np.testing.assert_allclose(found, [[9.0, 2.0, huber, math.log(math.cosh(2.0))]], rtol=1e-5)


def test_a_large_error_overflows_no_loss() -> None:
    for kind in ("mae", "huber", "log_cosh", "quantile"):
        assert np.isfinite(loss_of([kind], [[0.0]], [[1e30]])).all()


def test_a_quantile_loss_asks_more_of_one_side() -> None:
    found = loss_of(["quantile", "quantile"], [[0.0, 0.0]], [[2.0, -2.0]])
    np.testing.assert_allclose(found, [[0.1 * 2.0, 0.9 * 2.0]], rtol=1e-6)


def test_the_likelihood_and_the_crps_of_a_gaussian_are_the_known_ones() -> None:
    from scipy.stats import norm

    mean, spread, truth = 0.4, 0.7, -0.5
    output = [[mean, mean, raw_of(spread), raw_of(spread)]]
    found = loss_of(["gaussian_nll", "crps"], [[truth, truth]], output)[0]
    constant = 0.5 * math.log(2 * math.pi)
    assert found[0] + constant == pytest.approx(-norm(mean, spread).logpdf(truth), rel=1e-5)
    grid = np.linspace(-8, 8, 200_001)
    gap = (norm(mean, spread).cdf(grid) - (grid >= truth)) ** 2
    assert found[1] == pytest.approx(float(np.trapezoid(gap, grid)), rel=1e-4)


def test_steps_follow_the_members_losses_and_validation_their_mean() -> None:
    output = [[[1.0], [-1.0]]]
    assert loss_of(["mse"], [[0.0]], output).tolist() == [[1.0]]
    assert loss_of(["mse"], [[0.0]], output, training=False).tolist() == [[0.0]]


def test_the_members_deviation_holds_their_differences() -> None:
    one, two = [1.0, raw_of(0.5)], [-1.0, raw_of(0.5)]
    together = [[0.0, raw_of(math.sqrt(0.25 + 1.0))]]
    for kind in ("gaussian_nll", "crps"):
        found = loss_of([kind], [[0.3]], [[one, two]], training=False)
        np.testing.assert_allclose(found, loss_of([kind], [[0.3]], together), rtol=1e-4)


def gradient_of(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Return the gradient of a sum on whichever backend runs."""
    variable = keras.Variable(at)
    # A Keras variable, so that the backend's own interface is what is tested.
    return backend().gradients(lambda: ops.reshape(function(variable), (1,)), variable)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_cell_adds_nothing_and_has_a_gradient_of_exactly_zero(kind: str) -> None:
    spread = kind in ("gaussian_nll", "crps")
    truth = np.array([[1.0, NAN], [NAN, NAN]], np.float32)
    output = np.array([[3.0, 1e18], [2.0, -4.0]], np.float32)
    output = np.concatenate([output, np.ones((2, 2), "f")], axis=1) if spread else output
    objective = TargetLosses(["a", "b"], [kind, kind], [0.3, 0.3])
    found = ops.convert_to_numpy(objective(truth, ops.array(output), True))
    assert (found[0, 1], *found[1]) == (0, 0, 0)
    slope = gradient_of(lambda v: ops.sum(objective(truth, ops.convert_to_tensor(v), True)), output)
    assert slope[0, 0] != 0
    assert (slope[0, 1], *slope[1]) == (0,) * (1 + slope.shape[1])
    if spread:
        assert slope[0, 2] != 0
        assert slope[0, 3] == 0


def trainee_of(losses: list[str]) -> Trainee:
    entry = keras.Input((2,))
    network = keras.Model(entry, keras.layers.Dense(len(losses))(entry))
    names = [f"t{i}" for i in range(len(losses))]
    return Trainee(network, TargetLosses(names, losses, [0.5] * len(losses)))


def test_parts_are_weighed_and_rows_too() -> None:
    trainee = trainee_of(["mse", "mae"])
    trainee.weigh([3.0, 1.0], [1.0, 3.0])
    truth, output = np.zeros((2, 2), "f"), np.array([[2.0, 2.0], [1.0, 1.0]], "f")
    weight = np.array([1.0, 0.5], "f")
    mse, mae = (4.0 + 0.5) / 2, (2.0 + 0.5) / 2
    steps = float(trainee.compute_loss(None, truth, ops.array(output), weight, training=True))
    assert steps == pytest.approx((mse + 3 * mae) / 4)
    validation = float(trainee.compute_loss(None, truth, ops.array(output), weight, training=False))
    assert validation == pytest.approx((3 * mse + mae) / 4)


def test_the_first_loss_that_is_no_number_is_named_by_step_and_part() -> None:
    trainee = trainee_of(["mse", "mse"])
    good = np.zeros((2, 2), "f")
    bad = np.array([[0.0, np.inf], [0.0, 0.0]], "f")
    for output in (good, good, bad, bad * -1):
        trainee.compute_loss(None, good, ops.array(output), None, training=True)
    assert trainee.fault() == (3, "t1")
