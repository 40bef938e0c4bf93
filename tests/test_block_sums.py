"""Paired errors by block: on the rows that both models answer, in any order and batches."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.block_sums import BlockSums
from tests.streaming import batches

BLOCKS, TARGETS = 7, 3


def cells(seed: int, rows: int = 80) -> tuple[np.ndarray, ...]:
    """Blocks, truth, two models' answers with gaps, and weights of which some are 0."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(3, rows, TARGETS))
    values[draw.random(values.shape) < 0.1] = np.nan
    weight = np.where(draw.random(rows) < 0.2, 0.0, draw.random(rows))
    return draw.integers(0, BLOCKS, rows), *values, weight


def summed(*rows: np.ndarray) -> BlockSums:
    sums = BlockSums(BLOCKS, TARGETS)
    sums.add(*rows)
    return sums


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("gaps", [True, False])
def test_sums_are_those_of_each_block_on_the_rows_that_both_answer(
    weighted: bool, ordered: bool, gaps: bool
) -> None:
    block, truth, own, other, weight = cells(0)
    if not gaps:
        truth, own, other = (np.nan_to_num(v) for v in (truth, own, other))
    block = np.sort(block) if ordered else block
    sums = summed(block, truth, own, other, *([weight] if weighted else []))
    w = weight if weighted else np.ones(80)
    for b in range(BLOCKS):
        for t in range(TARGETS):
            seen = (block == b) & ~np.isnan((truth + own + other)[:, t]) & (w > 0)
            gap = (own - truth)[seen, t], (other - truth)[seen, t]
            assert sums.rows[b, t] == seen.sum()
            assert sums.weight[b, t] == pytest.approx(w[seen].sum())
            for i in (0, 1):
                assert sums.errors("rmse")[i][b, t] == pytest.approx(w[seen] @ gap[i] ** 2)
                assert sums.errors("mae")[i][b, t] == pytest.approx(w[seen] @ np.abs(gap[i]))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_batches_in_any_order_add_up_to_the_whole(seed: int) -> None:
    every = cells(seed)
    streamed, merged = BlockSums(BLOCKS, TARGETS), BlockSums(BLOCKS, TARGETS)
    for rows in batches(80, seed):
        batch = [values[rows] for values in every]
        streamed.add(*batch)
        merged.merge(summed(*batch))
    whole = summed(*every).sums
    assert streamed.sums == pytest.approx(whole)
    assert merged.sums == pytest.approx(whole)


def test_more_rows_than_are_worked_on_at_once_add_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    every = cells(1)
    whole = summed(*every).sums
    monkeypatch.setattr("tasks.learning.cells.ROWS", 13)
    assert summed(*every).sums == pytest.approx(whole)


def test_sums_are_read_as_they_were_written(tmp_path: Path) -> None:
    sums = summed(*cells(2))
    sums.save(tmp_path / "paired.npz")
    read = BlockSums.load(tmp_path / "paired.npz")
    assert (read.blocks, read.targets) == (BLOCKS, TARGETS)
    assert np.array_equal(read.sums, sums.sums)
    read.merge(sums)
    assert np.array_equal(read.sums, 2 * sums.sums)


def test_rows_that_do_not_fit_are_told() -> None:
    values = np.zeros((2, TARGETS))
    with pytest.raises(ValueError, match="block: expected 0 to 6, came 0 to 7"):
        summed(np.array([0, 7]), values, values, values)
    with pytest.raises(ValueError, match=r"truth \(rows, 3\)"):
        summed(np.array([0, 1]), *(np.zeros((2, 2)),) * 3)
    with pytest.raises(ValueError, match="expected sums of"):
        summed(np.array([0, 1]), values, values, values).merge(BlockSums(1, TARGETS))
