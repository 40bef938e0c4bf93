"""Pairs of models are compared on the rows that both answer, whatever the blocks."""

import numpy as np
import pytest

from tasks.learning.pair_sums import PairSums


def drawn(rows: int = 90) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Truth, two models that are silent in different rows, and weights of which some are 0."""
    draw = np.random.default_rng(0)
    truth, one, other = draw.normal(size=(3, rows, 2))
    truth[::7, 0] = one[::5] = np.nan
    other[::4, 1] = np.nan
    return truth, {"one": one, "other": other}, np.where(np.arange(rows) % 6 == 0, 0.0, 2.5)


def test_errors_are_those_of_the_rows_that_both_answer() -> None:
    truth, answers, weight = drawn()
    sums = PairSums(("one", "other"), 2)
    sums.add(truth, answers, weight)
    for target in (0, 1):
        both = ~np.isnan(truth + answers["one"] + answers["other"])[:, target] & (weight > 0)
        gap = (answers["other"] - truth)[both, target]
        found = sums.of("other", "one", target)
        assert found is not None
        assert found.mae == pytest.approx(np.abs(gap).mean())
        assert found.rmse == pytest.approx(np.sqrt((gap**2).mean()))


def test_blocks_add_up_to_the_whole() -> None:
    truth, answers, weight = drawn()
    whole, parts = (PairSums(("one", "other"), 2) for _ in range(2))
    whole.add(truth, answers, weight)
    for rows in np.array_split(np.random.default_rng(1).permutation(len(truth)), 7):
        parts.add(truth[rows], {m: v[rows] for m, v in answers.items()}, weight[rows])
    for pair in (("one", "other", 0), ("other", "one", 1), ("one", "one", 0)):
        one, other = whole.of(*pair), parts.of(*pair)
        assert one is not None
        assert other is not None
        assert one.rmse == pytest.approx(other.rmse, rel=1e-12)


def test_models_that_share_no_row_have_no_errors() -> None:
    sums = PairSums(("one", "other"), 1)
    gaps = np.array([[1.0], [np.nan]])
    sums.add(np.zeros((2, 1)), {"one": gaps, "other": gaps[::-1]})
    assert sums.of("one", "other", 0) is None
    assert sums.of("one", "one", 0) is not None
