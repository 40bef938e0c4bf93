"""Intervals hold the truth as often as they say; simulated where the truth is known."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from tasks.learning.conformal import (
    LEVELS,
    Conformal,
    fit_conformal,
    quantiles,
    row_lengths,
    row_scores,
)
from tasks.learning.limits import Limits
from tasks.learning.predictions import Predictions
from tasks.learning.time_blocks import memory, time_blocks

NINE = LEVELS.index(0.9)
FREE = Limits((None,), (None,))


def within(scores: np.ndarray, found: Conformal, target: int = 0) -> np.ndarray:
    """The share of new scores (rows,) inside, by level."""
    return np.array([(scores <= f[target]).mean() for f in found.factors])


def inside_normal(found: Conformal) -> np.ndarray:
    """By level, the chance that a standard normal error is inside."""
    return np.array([2 * NormalDist().cdf(f[0]) - 1 for f in found.factors])


def repeated(times: int, one: Any) -> tuple[np.ndarray, np.ndarray]:
    """The mean of what `one(draw)` returns by level, and four deviations of that mean."""
    found = np.array([one(np.random.default_rng(seed)) for seed in range(times)])
    return found.mean(axis=0), 4 * found.std(axis=0) / times**0.5


def autocorrelated(draw: np.random.Generator, count: int, phi: float = 0.9) -> np.ndarray:
    """Standard normal errors, each `phi` times the one before and something new."""
    noise = draw.normal(size=count)
    noise[1:] *= (1 - phi**2) ** 0.5
    for i in range(1, count):
        noise[i] += phi * noise[i - 1]
    return noise


def test_independent_rows_are_covered_as_often_as_said_and_hardly_more() -> None:
    def one(draw: np.random.Generator) -> np.ndarray:
        scores = np.abs(draw.normal(size=(199, 1)))
        return inside_normal(fit_conformal(scores, np.arange(199), [1.0]))

    found, error = repeated(300, one)
    assert (found > LEVELS - error).all()
    assert (found < np.array(LEVELS) + 1 / 200 + error).all()


def grouped(draw: np.random.Generator, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors of rows that share their group's error, and the groups, of unequal sizes."""
    group = np.repeat(np.arange(groups), draw.integers(1, 40, groups))
    return draw.normal(size=groups)[group] + 0.3 * draw.normal(size=group.size), group


def test_rows_of_new_groups_are_covered_where_groups_share_an_error() -> None:
    def one(draw: np.random.Generator) -> list[np.ndarray]:
        errors, group = grouped(draw, 30)
        fitted = [fit_conformal(np.abs(errors)[:, None], b, [1.0]) for b in (group, errors)]
        new = NormalDist(0, 1.09**0.5)
        return [[2 * new.cdf(f[0]) - 1 for f in own.factors] for own in fitted]  # type: ignore[misc]

    (found, alone), (error, alone_error) = repeated(300, one)
    upto = LEVELS.index(0.95) + 1
    assert (found[:upto] > np.array(LEVELS[:upto]) - error[:upto]).all()
    assert (found < np.array(LEVELS) + 1 / 20 + error).all()
    # Taken row by row, the same rows seem to know more than they do.
    assert alone[NINE] < 0.9 - alone_error[NINE]


def test_errors_that_follow_one_another_are_covered_as_often_as_said() -> None:
    def one(draw: np.random.Generator, count: int, phi: float) -> list[np.ndarray]:
        scores = np.abs(autocorrelated(draw, count, phi))[:, None]
        time = np.arange(float(count))
        both = (fit_conformal(scores, time, [1.0], order) for order in ("time", "rows"))
        return [inside_normal(fitted) for fitted in both]

    for count, phi, most in ((400, 0.0, 0.91), (600, 0.9, 0.94), (300, 0.97, 0.94)):
        found, error = repeated(150, lambda draw, c=count, p=phi: one(draw, c, p))
        assert (found[0] > LEVELS - error[0]).all()
        assert found[0, NINE] < most
    # Taken row by row, errors that remember long seem to say more than they do.
    assert found[1, NINE] < 0.9 - error[1, NINE]


def test_an_interval_is_as_wide_as_the_predicted_deviation_asks() -> None:
    draw = np.random.default_rng(0)
    spread = draw.uniform(0.1, 10, (4000, 1))
    truth = spread * draw.normal(size=(4000, 1)) * 3  # the deviation is three times too small
    found = Predictions(("a",), np.zeros((4000, 1)), spread)
    scores = row_scores(truth, found, [5.0])
    fitted = fit_conformal(scores[:2000], np.arange(2000), [5.0])
    low, high = (fitted.widen(found, [0.9], FREE).intervals or {})[0.9]
    held = ((low <= truth) & (truth <= high))[2000:, 0]
    for part in (spread[2000:, 0] < 5, spread[2000:, 0] >= 5):
        assert held[part].mean() == pytest.approx(0.9, abs=0.04)
    assert fitted.factors[NINE][0] == pytest.approx(3 * 1.645, rel=0.1)


def test_quantiles_say_how_wide_where_there_is_no_deviation() -> None:
    mean = np.zeros((2, 1))
    reach = np.array([[1.0], [10.0]])
    by_level = {0.05: mean - reach, 0.5: mean, 0.95: mean + reach}
    lengths = row_lengths(Predictions(("a",), mean, quantiles=by_level), [1.0])
    np.testing.assert_allclose(lengths, [[1 / 1.6449], [10 / 1.6449]], rtol=1e-4)
    one = Predictions(("a",), mean, quantiles={0.5: mean})
    np.testing.assert_array_equal(row_lengths(one, [3.0]), [[3.0], [3.0]])


def test_a_deviation_of_nothing_or_of_no_number_has_a_length_still() -> None:
    spread = np.array([[0.0, np.nan], [4.0, np.nan]])
    lengths = row_lengths(Predictions(("a", "b"), np.zeros((2, 2)), spread), [2.0, 7.0])
    np.testing.assert_array_equal(lengths, [[0.02, 7.0], [4.0, 7.0]])


def test_missing_targets_are_left_out_target_by_target() -> None:
    draw = np.random.default_rng(1)
    scores = np.abs(draw.normal(size=(300, 2)))
    holes = np.where(draw.random((300, 2)) < 0.3, np.nan, scores)
    fitted = fit_conformal(holes, np.arange(300), [1.0, 1.0])
    for i in range(2):
        known = holes[~np.isnan(holes[:, i]), i]
        alone = quantiles(known, np.arange(known.size), np.ones(known.size))
        assert tuple(f[i] for f in fitted.factors) == alone
    none = fit_conformal(np.full((5, 1), np.nan), np.arange(5), [1.0])
    assert none.factors == ((np.inf,),) * len(LEVELS)
    assert none.joint == (np.inf,) * len(LEVELS)


def test_the_region_holds_all_known_targets_of_a_row_at_once() -> None:
    draw = np.random.default_rng(2)
    errors = draw.normal(size=(8000, 5)) * [1, 10, 100, 1000, 0.1]
    errors[draw.random(errors.shape) < 0.2] = np.nan
    lengths = [1.0, 10.0, 100.0, 1000.0, 0.1]
    scores = np.abs(errors) / lengths
    fitted = fit_conformal(scores[:4000], np.arange(4000), lengths)
    new = scores[4000:][~np.isnan(scores[4000:]).all(axis=1)]
    for level, factor in zip(LEVELS, fitted.joint, strict=True):
        together = (np.isnan(new) | (new <= factor)).all(axis=1).mean()
        assert together == pytest.approx(level, abs=0.04)
    assert all(j > max(f) for j, f in zip(fitted.joint, fitted.factors, strict=True))


def test_rows_that_weigh_nothing_change_nothing_and_heavy_ones_count_for_more() -> None:
    draw = np.random.default_rng(3)
    scores = np.abs(draw.normal(size=(2000, 1))) * np.where(np.arange(2000) < 1000, 1, 5)[:, None]
    rows, half = np.arange(2000), (np.arange(2000) < 1000).astype(float)
    small = fit_conformal(scores[:1000], rows[:1000], [1.0])
    weighed = fit_conformal(scores, rows, [1.0], weight=half)
    np.testing.assert_allclose(weighed.factors, small.factors)
    assert (weighed.blocks, weighed.rows) == ((1000,), 1000)
    new = np.abs(draw.normal(size=20_000)) * np.where(np.arange(20_000) < 10_000, 1, 5)
    heavy = fit_conformal(scores, rows, [1.0], weight=1 + 9 * half)
    held = new <= heavy.factors[NINE][0]
    counted = (10 * held[:10_000].mean() + held[10_000:].mean()) / 11
    assert counted == pytest.approx(0.9, abs=0.03)


def test_equal_weights_of_any_size_are_as_none() -> None:
    scores, blocks = np.random.default_rng(4).random((60, 1)), np.arange(60) % 12
    plain = fit_conformal(scores, blocks, [1.0])
    np.testing.assert_allclose(
        fit_conformal(scores, blocks, [1.0], weight=np.full(60, 7.0)).factors, plain.factors
    )


def test_too_few_blocks_have_no_interval_at_a_high_level() -> None:
    nine = quantiles(np.arange(9.0), np.arange(9), np.ones(9))
    assert nine[: NINE + 1] == (4.0, 7.0, 8.0)  # 0.9 is what nine blocks can just say
    assert nine[NINE + 1 :] == (np.inf, np.inf)
    fitted = fit_conformal(np.arange(9.0)[:, None], np.arange(9), [1.0])
    found = fitted.widen(Predictions(("a",), np.zeros((2, 1))), LEVELS, FREE)
    for kind in (found.intervals, found.regions):
        assert kind is not None
        assert np.isnan(kind[0.95]).all()
        assert np.isfinite(kind[0.9]).all()


def test_the_order_of_rows_does_not_count() -> None:
    draw = np.random.default_rng(5)
    scores, time = np.abs(draw.normal(size=(500, 3))), np.sort(draw.integers(0, 200, 500)) * 3600.0
    scores[draw.random(scores.shape) < 0.2] = np.nan
    weight, turn = draw.random(500), draw.permutation(500)
    first = fit_conformal(scores, time, [1.0] * 3, "time", weight)
    assert fit_conformal(scores[turn], time[turn], [1.0] * 3, "time", weight[turn]) == first


def test_each_target_has_blocks_as_long_as_its_own_errors_remember() -> None:
    draw = np.random.default_rng(8)
    errors = np.stack([draw.normal(size=800), autocorrelated(draw, 800, 0.95)], axis=1)
    fitted = fit_conformal(np.abs(errors), np.arange(800.0), [1.0, 1.0], "time")
    assert fitted.blocks[0] == 800
    assert 20 <= fitted.blocks[1] < 80
    assert 20 <= fitted.joint_blocks < 800


def test_intervals_keep_to_bounds_and_hold_the_mean() -> None:
    limits = Limits((0.0, None, None), (None, 5.0, None), shares=(((2,), 1.0),))
    mean = np.array([[0.2, 4.0, 0.9], [3.0, 5.5, -0.1]])
    fitted = fit_conformal(np.ones((200, 3)), np.arange(200), [2.0, 2.0, 2.0])
    found = fitted.widen(Predictions(("a", "b", "c"), mean), [0.9], limits)
    for kind in (found.intervals, found.regions):
        low, high = (kind or {})[0.9]
        np.testing.assert_array_equal(low, [[0.0, 2.0, 0.0], [1.0, 3.5, -0.1]])
        np.testing.assert_array_equal(high, [[2.2, 5.0, 1.0], [5.0, 5.5, 1.0]])


def test_numbers_survive_json() -> None:
    fitted = fit_conformal(np.arange(9.0)[:, None], np.arange(9), [2.5], "group")
    text = fitted.to_json()
    assert "Infinity" not in text
    assert Conformal.from_json(text) == fitted


def test_a_level_that_was_not_fitted_is_told() -> None:
    fitted = fit_conformal(np.ones((9, 1)), np.arange(9), [1.0])
    with pytest.raises(ValueError, match=r"one of the levels 0.5, .*0.99, came 0.85"):
        fitted.widen(Predictions(("a",), np.zeros((1, 1))), [0.85], FREE)


def test_memory_is_as_long_as_errors_are_alike() -> None:
    draw = np.random.default_rng(6)
    assert memory(draw.normal(size=1000)) == 0
    assert 5 <= memory(np.abs(autocorrelated(draw, 1000))) <= 25
    assert memory(np.ones(1000)) == 0
    assert memory(np.arange(1000.0)) == 1000 // 20


def test_blocks_are_stretches_of_time_and_never_part_a_moment() -> None:
    draw = np.random.default_rng(7)
    time = np.repeat(np.arange(1500.0), 3)
    scores = np.abs(np.repeat(autocorrelated(draw, 1500), 3))
    blocks = time_blocks(time, scores)
    assert (np.diff(blocks) >= 0).all()
    assert 20 <= np.unique(blocks).size <= 200
    assert (blocks.reshape(-1, 3) == blocks[::3, None]).all()
    sizes = np.bincount(blocks)
    assert sizes.min() > 0.7 * sizes.max()


def test_few_moments_are_blocks_by_themselves() -> None:
    time = np.array([3.0, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(time_blocks(time, np.ones(4)), [2, 0, 1, 0])
    assert time_blocks(np.zeros(0), np.zeros(0)).size == 0
