"""Sums of scores of distributions, by target and joint: as of the whole, and as defined."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.distribution_sums import DistributionScores, DistributionSums
from tasks.learning.joint_sums import JointScores, JointSums
from tasks.learning.predictions import Predictions
from tasks.learning.scores import (
    coverage,
    crps_gaussian,
    crps_quantiles,
    crps_samples,
    energy_score,
    errors,
)
from tests.streaming import assert_alike, batches, some

LEVELS = (0.5, 0.9)
KINDS = ("samples", "quantiles", "spread", "point")
ROWS, TARGETS = 50, 3


def answered(seed: int, rows: int = ROWS) -> tuple[np.ndarray, Predictions, np.ndarray]:
    """Truth with gaps, an answer that has everything, and weights of which some are 0."""
    draw = np.random.default_rng(seed)
    mean = draw.normal(size=(rows, TARGETS))
    truth, spread = mean + draw.normal(size=mean.shape), draw.uniform(0.5, 1.5, mean.shape)
    truth[draw.random(truth.shape) < 0.2] = np.nan
    mean[:3, 1] = np.nan
    return (
        truth,
        Predictions(
            ("a", "b", "c"),
            mean,
            spread,
            {q: mean + (q - 0.5) * 3 * spread for q in (0.1, 0.3, 0.5, 0.7, 0.9)},
            mean[:, None] + spread[:, None] * draw.normal(size=(rows, 6, TARGETS)),
            {q: (mean - 2 * q * spread, mean + 2 * q * spread) for q in LEVELS},
            {q: (mean - 3 * q * spread, mean + 3 * q * spread) for q in LEVELS},
        ),
        np.where(draw.random(rows) < 0.2, 0.0, draw.random(rows)),
    )


def of_kind(predictions: Predictions, kind: str) -> Predictions:
    """Return the answer with no better part than of a kind."""
    worse = KINDS[: KINDS.index(kind)]
    return replace(predictions, **dict.fromkeys(worse))


def summed(*rows: object) -> DistributionSums:
    sums = DistributionSums(TARGETS, LEVELS)
    sums.add(*rows)  # type: ignore[arg-type]
    return sums


def first(*rows: object) -> DistributionScores:
    found = summed(*rows).scores()[0]
    assert found is not None
    return found


def joint(*rows: object) -> JointScores:
    sums = JointSums(np.ones(TARGETS), LEVELS)
    sums.add(*rows)  # type: ignore[arg-type]
    found = sums.scores()
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_that_of_the_best_part_of_an_answer(kind: str) -> None:
    truth, predictions, weight = answered(0)
    predictions = of_kind(predictions, kind)
    for i, found in enumerate(summed(truth, predictions, weight).scores()):
        assert found is not None
        y, mean = truth[:, i], predictions.mean[:, i]
        expected = {
            "samples": lambda: crps_samples(y, predictions.samples[:, :, i], weight),  # noqa: B023
            "quantiles": lambda: crps_quantiles(
                y,  # noqa: B023
                {q: v[:, i] for q, v in predictions.quantiles.items()},  # noqa: B023
                weight,
            ),
            "spread": lambda: crps_gaussian(y, mean, predictions.spread[:, i], weight),  # noqa: B023
            "point": lambda: errors(y, mean, weight).mae,  # noqa: B023
        }[kind]()
        assert found.crps == pytest.approx(expected)


def test_intervals_cover_and_measure_as_of_all_rows_at_once() -> None:
    truth, predictions, weight = answered(1)
    for i, found in enumerate(summed(truth, predictions, weight).scores()):
        assert found is not None
        assert found.levels == LEVELS
        ends = [predictions.intervals[q] for q in LEVELS]  # type: ignore[index]
        expected = [coverage(truth[:, i], low[:, i], high[:, i], weight) for low, high in ends]
        assert found.coverage == pytest.approx([e.inside for e in expected])
        assert found.width == pytest.approx([e.width for e in expected])
        off = [abs(e.inside - q) for e, q in zip(expected, LEVELS, strict=True)]
        assert found.calibration_error == pytest.approx(np.mean(off))


def test_a_level_without_an_interval_is_left_out() -> None:
    truth, predictions, _ = answered(1)
    none = (np.full((ROWS, TARGETS), np.nan),) * 2
    intervals = {0.5: predictions.intervals[0.5], 0.9: none}  # type: ignore[index]
    assert first(truth, replace(predictions, intervals=intervals)).levels == (0.5,)
    without = first(truth, replace(predictions, intervals=None))
    assert (without.levels, without.calibration_error) == ((), None)


def test_the_log_likelihood_is_the_mean_log_density() -> None:
    from scipy.stats import norm

    truth, predictions, weight = answered(2)
    seen = ~np.isnan(truth[:, 0]) & (weight > 0)
    density = norm.logpdf(truth[:, 0], predictions.mean[:, 0], predictions.spread[:, 0])  # type: ignore[index]
    expected = np.average(density[seen], weights=weight[seen])
    assert first(truth, predictions, weight).log_likelihood == pytest.approx(expected)
    assert first(truth, replace(predictions, spread=None)).log_likelihood is None
    certain = replace(predictions, spread=np.zeros((ROWS, TARGETS)))
    assert first(truth, certain).log_likelihood is None


def right(kind: str, rows: int = 20_000) -> tuple[np.ndarray, Predictions]:
    """Truth drawn from what is predicted."""
    from scipy.stats import norm

    draw = np.random.default_rng(4)
    shape = (rows, TARGETS)
    quantiles = {q: np.full(shape, norm.ppf(q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    samples = draw.normal(size=(rows, 7, TARGETS))
    whole = Predictions(
        ("a", "b", "c"), np.zeros(shape), np.ones(shape), quantiles=quantiles, samples=samples
    )
    return draw.normal(size=shape), of_kind(whole, kind)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_the_truth_lies_anywhere_alike_in_its_own_distribution(kind: str) -> None:
    truth, predictions = right(kind)
    assert first(truth, predictions).pit == pytest.approx([0.1] * 10, abs=0.012)
    shifted = first(truth + 1.0, predictions).pit
    assert shifted[-1] > 0.2
    assert sum(shifted) == pytest.approx(1)


def test_the_histogram_of_gaussians_is_that_of_their_levels() -> None:
    from scipy.stats import norm

    truth, predictions = right("spread", 500)
    expected = np.histogram(norm.cdf(truth[:, 0]), 10, (0, 1))[0] / 500
    assert first(truth, predictions).pit == pytest.approx(expected)


def test_a_point_has_no_histogram_and_ties_leave_the_level_open() -> None:
    truth, predictions = right("point", 10)
    assert first(truth, predictions).pit == ()
    alike = replace(predictions, samples=np.zeros((10, 9, TARGETS)))
    assert first(np.zeros((10, TARGETS)), alike).pit == pytest.approx([0.1] * 10)


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS), weighted=st.booleans())
@settings(max_examples=25, deadline=None)
def test_batches_in_any_order_add_up_to_the_whole(seed: int, kind: str, weighted: bool) -> None:
    truth, predictions, weight = answered(seed)
    predictions = of_kind(predictions, kind)
    streamed, merged = DistributionSums(TARGETS, LEVELS), DistributionSums(TARGETS, LEVELS)
    together, joined = JointSums(np.ones(TARGETS), LEVELS), JointSums(np.ones(TARGETS), LEVELS)
    for rows in batches(ROWS, seed):
        batch = (truth[rows], some(predictions, rows), weight[rows] if weighted else None)
        streamed.add(*batch)
        together.add(*batch)
        merged.merge(summed(*batch))
        own = JointSums(np.ones(TARGETS), LEVELS)
        own.add(*batch)
        joined.merge(own)
    every = (truth, predictions, weight if weighted else None)
    for sums in (streamed, merged):
        for found, expected in zip(sums.scores(), summed(*every).scores(), strict=True):
            assert_alike(found, expected)
    for all_rows in (together.scores(), joined.scores()):
        assert_alike(all_rows, joint(*every))


def whole_answers(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    """Return which rows have an observed target and an answer to each one observed."""
    known = ~np.isnan(truth)
    return known.any(axis=1) & (~np.isnan(predictions.mean) | ~known).all(axis=1)


def test_the_energy_score_is_that_of_the_rows_whose_observed_targets_are_answered() -> None:
    truth, predictions, weight = answered(3)
    rows = whole_answers(truth, predictions)
    assert rows.sum() < ROWS
    assert predictions.samples is not None
    expected = energy_score(truth[rows], predictions.samples[rows], weight[rows])
    found = joint(truth, predictions, weight)
    assert found.energy == pytest.approx(expected)
    assert found.rows == (rows & (weight > 0)).sum()


def test_the_energy_score_of_a_point_is_its_euclidean_error_in_deviations() -> None:
    truth = np.array([[3.0, 8.0], [np.nan, 2.0]])
    sums = JointSums(np.array([1.0, 2.0]))
    sums.add(truth, Predictions(("a", "b"), np.zeros((2, 2))))
    found = sums.scores()
    assert found is not None
    assert found.energy == pytest.approx((5.0 + 1.0) / 2)


def test_the_variogram_score_is_as_defined_on_the_pairs_that_are_observed() -> None:
    truth, predictions, _ = answered(5)
    rows, found = np.flatnonzero(whole_answers(truth, predictions)), []
    for row in rows:
        y, drawn = truth[row], predictions.samples[row]  # type: ignore[index]
        pairs = [(i, j) for i in range(TARGETS) for j in range(i) if not np.isnan(y[i] + y[j])]
        if pairs:
            own = [abs(y[i] - y[j]) ** 0.5 for i, j in pairs]
            mean = [np.mean(np.abs(drawn[:, i] - drawn[:, j]) ** 0.5) for i, j in pairs]
            found.append(np.mean(np.square(np.subtract(own, mean))))
    assert joint(truth, predictions).variogram == pytest.approx(np.mean(found))


def test_the_variogram_score_knows_a_wrong_correlation() -> None:
    draw = np.random.default_rng(6)

    def pairs(correlation: float, *shape: int) -> np.ndarray:
        return draw.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], shape)

    truth, scored = pairs(0.9, 2_000), []
    for correlation in (0.9, 0.0):
        samples = pairs(correlation, 2_000, 40)
        sums = JointSums(np.ones(2))
        sums.add(truth, Predictions(("a", "b"), samples.mean(axis=1), samples=samples))
        found = sums.scores()
        assert found is not None
        assert found.variogram is not None
        scored.append(found.variogram)
    assert scored[0] < 0.7 * scored[1]


def test_many_targets_are_paired_evenly_and_those_that_do_not_vary_are_left_out() -> None:
    scale = np.r_[0.0, np.ones(128)]
    sums = JointSums(scale)
    assert len(set(sums.pairs_of.tolist())) == 20
    assert (sums.pairs_of[0], sums.pairs_of[-1]) == (1, 128)
    truth = np.r_[5.0, np.zeros(128)][None]
    sums.add(truth, Predictions(tuple(map(str, range(129))), np.ones((1, 129))))
    found = sums.scores()
    assert found is not None
    assert found.energy == pytest.approx(128**0.5)


def test_a_joint_region_holds_a_row_only_with_all_of_its_observed_targets() -> None:
    low, high = np.zeros((4, 2)), np.ones((4, 2))
    low[3, 1] = np.nan
    truth = np.array([[0.5, 0.5], [0.5, 2.0], [0.5, np.nan], [0.5, 0.5]])
    answer = Predictions(("a", "b"), np.zeros((4, 2)), regions={0.9: (low, high)})
    sums = JointSums(np.ones(2), (0.9,))
    sums.add(truth, answer)
    found = sums.scores()
    assert found is not None
    assert (found.levels, found.coverage) == ((0.9,), (pytest.approx(2 / 3),))


def test_no_rows_have_no_scores() -> None:
    truth, predictions, _ = answered(0)
    nothing = np.zeros(ROWS)
    assert summed(truth, predictions, nothing).scores() == [None] * TARGETS
    sums = JointSums(np.ones(TARGETS))
    sums.add(truth, predictions, nothing)
    assert sums.scores() is None


def test_what_does_not_fit_is_told() -> None:
    truth, predictions, _ = answered(0)
    with pytest.raises(ValueError, match=r"expected truth and mean of \(50, 3\)"):
        summed(truth[:, :2], predictions)
    with pytest.raises(ValueError, match="expected intervals of"):
        summed(truth, predictions).merge(DistributionSums(TARGETS))
    with pytest.raises(ValueError, match="expected regions of"):
        JointSums(np.ones(TARGETS)).merge(JointSums(np.ones(TARGETS), LEVELS))
