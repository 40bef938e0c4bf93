"""Intervals under cross-validation: each fold's from others, and as many truths inside as said."""

from typing import Any

import numpy as np
import pytest

from tasks.intervals import Residuals, fold_intervals, joined
from tasks.learning.conformal import LEVELS
from tests.builders import small_contract

FOLDS = 4


def found(scores: np.ndarray, length: float = 1.0) -> Residuals:
    """Return residuals of one target, whose rows are blocks of their own."""
    place = np.random.default_rng(int(1e6 * scores[0])).integers(0, 2**60, scores.size)
    return Residuals([length], scores[:, None], np.ones(scores.size), place)


def folded(kind: str, **more: Any) -> Any:
    return small_contract(split={"kind": kind}, evaluation={"folds": FOLDS} | more)


def out_of_fold(draw: np.random.Generator, count: int) -> list[np.ndarray]:
    """Return the errors of each fold's model on its test rows: the mean of the others' values."""
    values = draw.standard_t(3, count)
    parts = np.array_split(draw.permutation(count), FOLDS)
    rest = [np.setdiff1d(np.arange(count), part) for part in parts]
    return [np.abs(values[p] - values[r].mean()) for p, r in zip(parts, rest, strict=True)]


def test_intervals_of_folds_hold_as_many_truths_as_they_say() -> None:
    draw, level = np.random.default_rng(0), LEVELS.index(0.8)
    inside = []
    for _ in range(150):
        errors = out_of_fold(draw, 40)
        for own, part in zip(
            fold_intervals(folded("random"), [*map(found, errors)]), errors, strict=True
        ):
            assert own is not None
            inside += (part <= own.factors[level][0]).tolist()
    # 6,000 truths: the deviation of the share is about 0.01 at most, and 30 rows end at 25/31.
    assert 0.77 < np.mean(inside) < 0.85


def test_a_folds_intervals_come_from_the_other_folds_of_its_repeat() -> None:
    sizes = [np.full(10, 1.0 + i) for i in range(2 * FOLDS)]
    made = fold_intervals(folded("random", repeats=2), [found(s, 2.0) for s in sizes])
    for i, own in enumerate(made):
        repeat = range(i // FOLDS * FOLDS, (i // FOLDS + 1) * FOLDS)
        assert own is not None
        assert (
            own.factors
            == joined(folded("random"), [found(sizes[j]) for j in repeat if j != i]).factors
        )
        assert (own.rows, own.lengths) == (30, (2.0,))


def test_in_order_of_time_they_come_from_the_past_alone() -> None:
    made = fold_intervals(folded("time"), [found(np.full(10, 1.0 + i)) for i in range(FOLDS)])
    assert made[0] is None
    assert [own.rows for own in made[1:] if own] == [10, 20, 30]


def test_what_is_published_has_the_length_that_its_folds_have_in_the_mean_square() -> None:
    whole = joined(folded("random"), [found(np.ones(5), 3.0), found(np.full(5, 2.0), 4.0)])
    assert whole is not None
    assert whole.lengths[0] == pytest.approx(12.5**0.5)
