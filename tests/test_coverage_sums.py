"""How sure the coverage of intervals is, where rows are alike in stretches and where not."""

import numpy as np
import pytest

from tasks.learning.coverage_sums import CoverageSums
from tasks.learning.predictions import Predictions
from tests.streaming import batches, some

ROWS = 6400


def answers(rows: int = ROWS) -> Predictions:
    mean = np.zeros((rows, 1))
    return Predictions(("a",), mean, intervals={0.9: (mean - 1.645, mean + 1.645)})


def error(truth: np.ndarray, block: np.ndarray, weight: np.ndarray | None = None) -> float:
    sums = CoverageSums(1, (0.9,), blocks=640)
    sums.add(block, truth[:, None], answers(len(truth)), weight)
    [found] = sums.errors()
    return found.errors[0]


def test_of_independent_rows_it_is_the_binomial_error() -> None:
    draw = np.random.default_rng(0)
    found = [error(draw.normal(size=ROWS), np.arange(ROWS) // 10) for _ in range(20)]
    assert np.mean(found) == pytest.approx((0.9 * 0.1 / ROWS) ** 0.5, rel=0.1)


def test_rows_that_share_their_error_tell_as_much_as_one() -> None:
    draw = np.random.default_rng(1)
    alike = np.repeat(draw.normal(size=64), 100)
    found = error(alike, np.arange(ROWS) // 10)
    inside = float((np.abs(alike) < 1.645).mean())
    assert found == pytest.approx((inside * (1 - inside) / 63) ** 0.5, rel=0.02)


def test_batches_and_their_order_change_nothing() -> None:
    draw = np.random.default_rng(2)
    truth, weight = draw.normal(size=(ROWS, 1)), draw.integers(0, 3, ROWS).astype(float)
    truth[::7] = np.nan
    block = draw.integers(0, 640, ROWS)
    whole, parts = CoverageSums(1, (0.9,), 640), CoverageSums(1, (0.9,), 640)
    whole.add(block, truth, answers(), weight)
    for rows in batches(ROWS, seed=3):
        part = CoverageSums(1, (0.9,), 640)
        part.add(block[rows], truth[rows], some(answers(), rows), weight[rows])
        parts.merge(part)
    assert parts.errors()[0].errors == pytest.approx(whole.errors()[0].errors)


def test_few_clusters_and_levels_without_intervals_tell_nothing() -> None:
    truth = np.random.default_rng(4).normal(size=ROWS)
    assert np.isnan(error(truth, np.zeros(ROWS, dtype=int)))
    sums = CoverageSums(1, (0.5,), blocks=640)
    sums.add(np.arange(ROWS) // 10, truth[:, None], answers())
    assert np.isnan(sums.errors()[0].errors[0])
