"""Sums of point errors: scikit-learn's numbers, whatever the batches, units and gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.point_sums import PointErrors, PointSums
from tests.streaming import assert_alike, batches


def cells(seed: int, rows: int = 60, targets: int = 3) -> tuple[np.ndarray, ...]:
    """Truth and answers with gaps, and weights of which some are 0."""
    draw = np.random.default_rng(seed)
    truth, noise = draw.normal(size=(2, rows, targets))
    answers = 0.7 * truth + 0.5 * noise + 0.1
    for values in (truth, answers):
        values[draw.random(values.shape) < 0.2] = np.nan
    return truth, answers, np.where(draw.random(rows) < 0.2, 0.0, draw.random(rows))


def summed(*rows: np.ndarray) -> PointSums:
    sums = PointSums(rows[0].shape[1])
    sums.add(*rows)
    return sums


def one(truth: np.ndarray, answers: np.ndarray) -> PointErrors:
    found = summed(truth[:, None], answers[:, None]).errors()[0]
    assert found is not None
    return found


@given(seed=st.integers(0, 10_000), power=st.integers(-60, 60))
@settings(max_examples=40, deadline=None)
def test_errors_agree_with_scikit_learn_in_any_unit(seed: int, power: int) -> None:
    from sklearn.metrics import max_error, mean_absolute_error, mean_squared_error, r2_score

    truth, answers, weight = cells(seed)
    unit = 2.0**power
    for i, found in enumerate(summed(truth * unit, answers * unit, weight).errors()):
        assert found is not None
        seen = ~np.isnan(truth[:, i] + answers[:, i]) & (weight > 0)
        y, p, w = truth[seen, i], answers[seen, i], weight[seen]
        assert found.rows == seen.sum()
        assert found.mae / unit == pytest.approx(mean_absolute_error(y, p, sample_weight=w))
        assert found.rmse / unit == pytest.approx(mean_squared_error(y, p, sample_weight=w) ** 0.5)
        assert found.r2 == pytest.approx(r2_score(y, p, sample_weight=w))
        assert found.bias / unit == pytest.approx(np.average(p - y, weights=w))
        assert found.max_error / unit == pytest.approx(max_error(y, p))
        covariance = np.cov(y, p, aweights=w, ddof=0)
        together = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert found.correlation == pytest.approx(together)


@given(seed=st.integers(0, 10_000), weighted=st.booleans())
@settings(max_examples=40, deadline=None)
def test_batches_in_any_order_add_up_to_the_whole(seed: int, weighted: bool) -> None:
    truth, answers, weight = cells(seed)
    own = weight if weighted else None
    streamed, merged = PointSums(3), PointSums(3)
    for rows in batches(60, seed):
        batch = (truth[rows], answers[rows], None if own is None else own[rows])
        streamed.add(*batch)
        merged.merge(summed(*batch))
    whole = summed(truth, answers, *([] if own is None else [own]))
    for sums in (streamed, merged):
        for found, expected in zip(sums.errors(), whole.errors(), strict=True):
            assert_alike(found, expected)


def test_more_rows_than_are_worked_on_at_once_add_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, answers, weight = cells(0)
    whole = summed(truth, answers, weight).errors()
    monkeypatch.setattr("tasks.learning.cells.ROWS", 7)
    for found, expected in zip(summed(truth, answers, weight).errors(), whole, strict=True):
        assert_alike(found, expected)


def test_a_high_level_costs_no_digits() -> None:
    draw = np.random.default_rng(0)
    truth, noise = draw.normal(size=(2, 5_000))
    low, high = one(truth, truth + 0.3 * noise), PointSums(1)
    for rows in batches(5_000, 1):
        high.add(truth[rows, None] + 1e6, (truth + 0.3 * noise)[rows, None] + 1e6)
    found = high.errors()[0]
    assert found is not None
    assert found.r2 == pytest.approx(low.r2, abs=1e-8)
    assert found.correlation == pytest.approx(low.correlation, abs=1e-8)


@given(st.floats(-1e9, 1e9), st.integers(1, 50))
def test_r2_and_correlation_are_undefined_for_any_constant_truth(value: float, count: int) -> None:
    found = one(np.full(count, value), np.arange(count, dtype=float))
    assert (found.r2, found.correlation) == (None, None)
    assert "the truth" in found.r2_note


@pytest.mark.parametrize(
    ("level", "spread", "defined"),
    [
        (0.0, 1e-20, False),  # specific humidity at the top of an atmosphere
        (2.6e-6, 1e-20, False),
        (273.15, 1e-6, False),
        (0.0, 1e-9, True),  # a flux in kg/m2/s
        (1e-9, 1e-10, True),
        (101_325.0, 1.0, True),
    ],
)
def test_a_small_unit_is_no_constant_truth(level: float, spread: float, defined: bool) -> None:
    draw = np.random.default_rng(0)
    truth = level + spread * draw.uniform(-0.5, 0.5, 500)
    found = one(truth, truth + 0.1 * spread)
    assert (found.r2 is not None) == defined
    assert (found.r2_note == "") == defined
    if not defined:
        assert "hardly varies" in found.r2_note


def test_a_constant_answer_has_no_correlation_but_an_r2() -> None:
    found = one(np.arange(10.0), np.full(10, 4.5))
    assert (found.correlation, found.r2) == (None, pytest.approx(0.0))


def test_a_target_without_a_row_has_no_errors() -> None:
    truth = np.column_stack([np.full(4, np.nan), np.arange(4.0)])
    none, some = summed(truth, np.zeros((4, 2))).errors()
    assert none is None
    assert some is not None
    assert summed(truth, np.zeros((4, 2)), np.zeros(4)).errors() == [None, None]


def test_an_infinite_answer_is_an_infinite_error() -> None:
    found = one(np.arange(4.0), np.array([0.0, np.inf, 2.0, 3.0]))
    assert (found.rmse, found.max_error, found.rows) == (np.inf, np.inf, 4)


def test_columns_of_32_bits_are_summed_in_64() -> None:
    truth = np.full((100_000, 1), 0.1, np.float32)
    found = summed(truth, np.zeros_like(truth)).errors()[0]
    assert found is not None
    assert found.mae == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_shapes_that_do_not_fit_are_told() -> None:
    sums = PointSums(2)
    with pytest.raises(ValueError, match=r"truth: expected \(rows, 2\), came \(3, 1\)"):
        sums.add(np.ones((3, 1)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="one shape"):
        sums.add(np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="weight: expected"):
        sums.add(np.ones((3, 2)), np.ones((3, 2)), np.ones(2))
