"""Scores against scikit-learn and their definitions, whatever is missing or weighs nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.scores import (
    coverage,
    crps_gaussian,
    crps_quantiles,
    crps_samples,
    energy_score,
    errors,
)


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


def drawn(rows: int, draws: int, targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(rows, targets)), draw.normal(0.3, 1.5, (rows, draws, targets))


def energy_by_all_pairs(truth: np.ndarray, samples: np.ndarray) -> float:
    """The energy score as it is defined, over rows of single cells or of vectors."""
    found = []
    for y, x in zip(truth, samples, strict=True):
        known = ~np.isnan(y)
        if known.any():
            gap, count = x[:, known] - y[known], len(x)
            pairs = [np.linalg.norm(a - b) for a in gap for b in gap]
            own = np.linalg.norm(gap, axis=1).mean()
            found.append(own - sum(pairs) / (2 * count * (count - 1)))
    return float(np.mean(found))


@given(seed=st.integers(0, 10_000), draws=st.integers(2, 9), share=st.floats(0, 0.8))
@settings(max_examples=40, deadline=None)
def test_sample_scores_agree_with_their_definition(seed: int, draws: int, share: float) -> None:
    truth, samples = drawn(12, draws, 3, seed)
    truth[np.random.default_rng(seed).random(truth.shape) < share] = np.nan
    truth[0] = 1.0
    assert energy_score(truth, samples) == pytest.approx(energy_by_all_pairs(truth, samples))
    single = energy_by_all_pairs(truth[:, :1], samples[:, :, :1])
    assert crps_samples(truth[:, 0], samples[:, :, 0]) == pytest.approx(single)


def test_an_energy_score_of_one_target_is_its_crps() -> None:
    truth, samples = drawn(50, 20, 1)
    assert energy_score(truth, samples) == pytest.approx(crps_samples(truth[:, 0], samples[..., 0]))


def test_streaming_changes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, samples = drawn(53, 8, 4)
    whole = energy_score(truth, samples), crps_samples(truth[:, 0], samples[..., 0])
    monkeypatch.setattr("tasks.learning.row_scores.CHUNK", 100)
    parts = energy_score(truth, samples), crps_samples(truth[:, 0], samples[..., 0])
    assert parts == pytest.approx(whole)


def test_a_gaussian_crps_is_the_integral_that_defines_it() -> None:
    from scipy.integrate import quad
    from scipy.stats import norm

    for y, mean, spread in ((0.0, 0.0, 1.0), (3.0, -1.0, 0.7), (-40.0, 2.0, 5.0)):
        below = quad(lambda x, m=mean, s=spread: norm.cdf(x, m, s) ** 2, -np.inf, y)[0]
        above = quad(lambda x, m=mean, s=spread: norm.sf(x, m, s) ** 2, y, np.inf)[0]
        found = crps_gaussian(np.array([y]), np.array([mean]), np.array([spread]))
        assert found == pytest.approx(below + above, rel=1e-6)


def test_few_draws_score_as_many_do_on_average() -> None:
    truth, spread = np.zeros(40_000), np.ones(40_000)
    few = np.random.default_rng(1).normal(size=(40_000, 2))
    exact = crps_gaussian(truth, truth, spread)
    assert crps_samples(truth, few) == pytest.approx(exact, abs=0.01)


def test_quantiles_at_many_levels_score_as_their_distribution() -> None:
    from scipy.stats import norm

    truth = np.random.default_rng(0).normal(size=200)
    levels = (np.arange(400) + 0.5) / 400
    quantiles = {float(q): np.full(200, norm.ppf(q)) for q in levels}
    exact = crps_gaussian(truth, np.zeros(200), np.ones(200))
    assert crps_quantiles(truth, quantiles) == pytest.approx(exact, rel=1e-3)


def test_without_any_spread_every_score_is_the_absolute_error() -> None:
    truth, mean = np.random.default_rng(0).normal(size=(2, 30))
    mae = errors(truth, mean).mae
    assert crps_gaussian(truth, mean, np.zeros(30)) == pytest.approx(mae)
    assert crps_samples(truth, np.repeat(mean[:, None], 5, axis=1)) == pytest.approx(mae)
    assert crps_quantiles(truth, {0.5: mean}) == pytest.approx(mae)
    assert crps_quantiles(truth, {0.1: mean, 0.5: mean, 0.9: mean}) == pytest.approx(mae)


@pytest.mark.parametrize("wrong", [(0.5, 1.0), (0.0, 0.5), (0.0, 2.0), (1.0, 1.0)])
def test_none_scores_better_than_the_true_distribution(wrong: tuple[float, float]) -> None:
    from scipy.stats import norm

    draw = np.random.default_rng(3)
    truth, levels = draw.normal(size=20_000), (0.05, 0.25, 0.5, 0.75, 0.95)

    def scored(mean: float, spread: float) -> np.ndarray:
        own = np.full(truth.size, mean)
        samples = draw.normal(mean, spread, (truth.size, 30))
        quantiles = {q: np.full(truth.size, norm.ppf(q, mean, spread)) for q in levels}
        return np.array([
            crps_gaussian(truth, own, np.full(truth.size, spread)),
            crps_samples(truth, samples),
            crps_quantiles(truth, quantiles),
        ])  # fmt: skip

    assert (scored(0.0, 1.0) < scored(*wrong)).all()


def test_the_energy_score_knows_a_wrong_correlation_that_no_target_shows_alone() -> None:
    draw = np.random.default_rng(5)

    def pairs(correlation: float, *shape: int) -> np.ndarray:
        return draw.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], shape)

    truth = pairs(0.9, 4_000)
    right, wrong = (energy_score(truth, pairs(c, 4_000, 50)) for c in (0.9, -0.9))
    assert right < wrong - 0.02


def test_scores_of_distributions_leave_out_missing_truths_and_rows_of_no_weight() -> None:
    truth, samples = drawn(20, 6, 2)
    mean, spread = samples[..., 0].mean(axis=1), samples[..., 0].std(axis=1)
    weight = np.ones(20)
    truth[:5], weight[5:8] = np.nan, 0.0
    own, kept = truth[:, 0], slice(8, None)
    quantiles = {0.25: mean - spread, 0.75: mean + spread}
    inner = {q: v[kept] for q, v in quantiles.items()}
    assert crps_samples(own, samples[..., 0], weight) == pytest.approx(
        crps_samples(own[kept], samples[kept, :, 0])
    )
    assert crps_gaussian(own, mean, spread, weight) == pytest.approx(
        crps_gaussian(own[kept], mean[kept], spread[kept])
    )
    assert crps_quantiles(own, quantiles, weight) == pytest.approx(crps_quantiles(own[kept], inner))
    assert energy_score(truth, samples, weight) == pytest.approx(
        energy_score(truth[kept], samples[kept])
    )
    assert coverage(own, mean - 1, mean + 1, weight).rows == 12


def test_a_row_that_weighs_twice_counts_as_two() -> None:
    truth, samples = drawn(10, 6, 2)
    twice, weight = np.r_[0, 0, 1:10], np.r_[2.0, np.ones(9)]
    assert energy_score(truth, samples, weight) == pytest.approx(
        energy_score(truth[twice], samples[twice])
    )
    own, draws = truth[:, 0], samples[..., 0]
    assert crps_samples(own, draws, weight) == pytest.approx(crps_samples(own[twice], draws[twice]))


def test_coverage_counts_the_limits_in_and_tells_the_mean_width() -> None:
    truth = np.array([0.0, 1.0, 2.0, 3.0, np.nan])
    found = coverage(truth, np.array([0, 0, 0, 0, 0.0]), np.array([0, 2, 1, 3, 9.0]))
    assert (found.rows, found.inside, found.width) == (4, 0.75, 1.5)


def test_scores_of_distributions_say_what_they_lack() -> None:
    none, one = np.full(3, np.nan), np.ones(3)
    for empty in (
        lambda: crps_samples(none, np.ones((3, 2))),
        lambda: crps_gaussian(none, one, one),
        lambda: crps_quantiles(none, {0.5: one}),
        lambda: energy_score(none[:, None], np.ones((3, 2, 1))),
        lambda: energy_score(one[:, None], np.full((3, 2, 1), np.nan)),
        lambda: coverage(none, one, one),
    ):
        with pytest.raises(ValueError, match="no row"):
            empty()
    with pytest.raises(ValueError, match="2 draws or more of each row, came 1"):
        crps_samples(one, np.ones((3, 1)))
    with pytest.raises(ValueError, match="expected 0 or more, came -1"):
        crps_gaussian(one, one, -one)
    with pytest.raises(ValueError, match=r"between 0 and 1, came \[0.5, 1.0\]"):
        crps_quantiles(one, {1.0: one, 0.5: one})
