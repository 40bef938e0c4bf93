"""Errors against scikit-learn, whatever is missing, weighs nothing or is tiny."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.scores import errors


@given(seed=st.integers(0, 10_000), power=st.integers(-60, 60), share=st.floats(0, 0.9))
@settings(max_examples=60, deadline=None)
def test_errors_agree_with_scikit_learn_in_any_unit(seed: int, power: int, share: float) -> None:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    draw = np.random.default_rng(seed)
    truth, predicted = draw.normal(size=(2, 60)) * 2.0**power
    weight = np.where(draw.random(60) < 0.2, 0.0, draw.random(60))
    for values in (truth, predicted):
        values[draw.random(60) < share / 2] = np.nan
    seen = ~np.isnan(truth + predicted) & (weight > 0)
    if seen.sum() < 2:
        return
    found = errors(truth, predicted, weight)
    given_to = (truth[seen] / 2.0**power, predicted[seen] / 2.0**power)
    kept = weight[seen]
    assert found.rows == seen.sum()
    assert found.mae == pytest.approx(
        mean_absolute_error(*given_to, sample_weight=kept) * 2.0**power
    )
    assert found.rmse == pytest.approx(
        root_mean_squared_error(*given_to, sample_weight=kept) * 2.0**power
    )
    assert found.r2 == pytest.approx(r2_score(*given_to, sample_weight=kept))


def test_without_weights_all_rows_count_alike() -> None:
    truth, predicted = np.random.default_rng(0).normal(size=(2, 9))
    alike = errors(truth, predicted, np.full(9, 3.0))
    assert alike.rmse == pytest.approx(errors(truth, predicted).rmse)


@given(st.floats(-1e9, 1e9), st.integers(1, 50))
def test_r2_is_undefined_for_any_constant_truth(value: float, count: int) -> None:
    assert errors(np.full(count, value), np.zeros(count)).r2 is None


def test_a_perfect_prediction_has_no_error() -> None:
    truth = np.array([1.0, 2.0, np.nan])
    found = errors(truth, truth)
    assert (found.rows, found.mae, found.rmse, found.r2) == (2, 0.0, 0.0, 1.0)


def test_rows_that_weigh_nothing_are_no_rows() -> None:
    with pytest.raises(ValueError, match="no row"):
        errors(np.ones(3), np.ones(3), np.zeros(3))
