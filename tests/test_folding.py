"""Folds: every row tested once a repeat, groups whole, time in order, and nothing seen before."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.contract import Contract
from tasks.errors import DataError
from tasks.folding import divide
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import read_shard
from tasks.learning.tables import numbers
from tests.builders import small_contract, small_rows, small_shards

GROUPS: dict[str, Any] = {"kind": "group", "columns": ["site"]}
FIFTHS: dict[str, Any] = {
    "kind": "blocked",
    "train": 0.6,
    "validation": 0.2,
    "calibration": 0,
    "test": 0.2,
}
TIME: dict[str, Any] = {"kind": "time", "gap": "3h"}


def folded(split: dict[str, Any], **evaluation: Any) -> Contract:
    return small_contract(split=split, evaluation={"folds": 3} | evaluation)


def table(hours: list[int], sites: list[int] | None = None) -> pa.Table:
    """Return rows at hours after a start, at sites."""
    start = np.datetime64("2024-01-01T00", "us")
    return pa.table(
        {
            "_row": range(len(hours)),
            "id": [f"key {i}" for i in range(len(hours))],
            "time": start + np.array(hours, dtype="int64") * np.timedelta64(1, "h"),
            "site": sites or [0] * len(hours),
        }
    )


def divided(contract: Contract, rows: pa.Table) -> dict[str, list[Any]]:
    """Return the splits of all rows, by division."""
    with duckdb.connect() as database:
        database.register("rows", rows)
        found: dict[str, list[Any]] = divide(contract, database, "rows").to_pydict()
    assert found.pop("_row") == rows["_row"].to_pylist()
    return found


@given(count=st.integers(3, 90), folds=st.integers(2, 6), seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_every_row_is_tested_in_one_fold_of_each_repeat_and_folds_are_even(
    count: int, folds: int, seed: int
) -> None:
    contract = folded({"kind": "random", "seed": seed}, folds=folds, repeats=2)
    found = divided(contract, table(list(range(count))))
    assert list(found) == [*(f"fold_{i}" for i in range(2 * folds)), "refit"]
    for repeat in range(2):
        own = [found[f"fold_{folds * repeat + i}"] for i in range(folds)]
        tested = [[labels[row] for labels in own].count("test") for row in range(count)]
        assert tested == [1] * count
        sizes = [labels.count("test") for labels in own]
        assert max(sizes) - min(sizes) <= 1


def test_the_rest_of_a_fold_is_divided_as_the_shares_say_and_none_is_held_out() -> None:
    found = divided(folded({"kind": "random"}), table(list(range(300))))
    for name, labels in found.items():
        rest = 300 if name == "refit" else 200
        expected = {"train": 0.8 * rest, "validation": 0.2 * rest, "test": 300 - rest}
        assert Counter(labels) == {k: v for k, v in expected.items() if v}


def test_rows_take_turns_in_validation() -> None:
    found = divided(folded({"kind": "random"}), table(list(range(300))))
    turns = [[found[f"fold_{i}"][row] for i in range(3)].count("validation") for row in range(300)]
    assert sum(turns) == 120
    assert max(turns) == 1


def test_repeats_and_seeds_give_other_folds() -> None:
    rows = table(list(range(100)))
    first, second = (
        divided(folded({"kind": "random", "seed": s}, repeats=2), rows) for s in (0, 1)
    )
    assert first["fold_0"] != first["fold_3"]
    assert first["fold_0"] != second["fold_0"]
    assert first == divided(folded({"kind": "random", "seed": 0}, repeats=2), rows)


def test_few_rows_change_their_fold_when_rows_come_and_go() -> None:
    contract, rows = folded({"kind": "random"}), table(list(range(500)))
    before, after = (divided(contract, r) for r in (rows, rows.slice(10, 490)))
    for name in ("fold_0", "fold_1", "fold_2"):
        changed = sum(a != b for a, b in zip(before[name][10:], after[name], strict=True))
        assert changed < 25


@given(sites=st.lists(st.integers(0, 12), min_size=40, max_size=120), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_a_group_is_never_in_two_splits_of_a_fold_and_tested_once_a_repeat(
    sites: list[int], seed: int
) -> None:
    rows = table(list(range(len(sites))), sites)
    found = divided(folded(GROUPS | {"seed": seed}, repeats=2), rows)
    for labels in found.values():
        for site in set(sites):
            assert len({v for v, s in zip(labels, sites, strict=True) if s == site}) == 1
    for repeat in range(2):
        own = [found[f"fold_{3 * repeat + i}"] for i in range(3)]
        assert all([v[row] for v in own].count("test") == 1 for row in range(len(sites)))


def test_a_group_larger_than_a_fold_leaves_none_empty() -> None:
    sites = [0] * 60 + [1] * 10 + [2] * 10
    found = divided(folded(GROUPS), table(list(range(80)), sites))
    assert sorted(found[f"fold_{i}"].count("test") for i in range(3)) == [10, 10, 60]
    assert all(found[f"fold_{i}"].count("validation") for i in range(3))


@given(hours=st.lists(st.integers(0, 400), min_size=30, max_size=150), gap=st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_a_rolling_origin_learns_from_the_past_alone_and_keeps_the_gap(
    hours: list[int], gap: int
) -> None:
    found = divided(folded({"kind": "time", "gap": f"{gap}h"}), table(hours))

    def of(fold: str, split: str | None) -> list[int]:
        return [h for h, label in zip(hours, found[fold], strict=True) if label == split]

    tests = [set(of(f"fold_{i}", "test")) for i in range(3)]
    assert len(set.union(*tests)) == sum(map(len, tests))
    for fold in found:
        past, checked, unseen = (of(fold, s) for s in ("train", "validation", "test"))
        for earlier, later in ((past, checked), (past, unseen), (checked, unseen)):
            if earlier and later:
                assert min(later) - max(earlier) > gap or (gap == 0 and min(later) > max(earlier))
        later = of(fold, None)
        assert not later or min(later) > max([*past, *checked, *unseen])


def test_origins_roll_over_equal_parts_and_the_window_grows() -> None:
    found = divided(folded({"kind": "time"}), table(list(range(600))))
    assert [found[f"fold_{i}"].count("test") for i in range(3)] == [100] * 3
    assert [found[f"fold_{i}"].count("train") for i in range(3)] == [240, 320, 400]
    assert found["fold_0"].count(None) == 200
    assert Counter(found["refit"]) == {"train": 480, "validation": 120}


def test_members_need_no_refit() -> None:
    found = divided(folded({"kind": "random"}, publish="members"), table(list(range(60))))
    assert list(found) == ["fold_0", "fold_1", "fold_2"]


@pytest.mark.parametrize("split", [{"kind": "random"}, TIME], ids=["random", "time"])
def test_numbers_are_fitted_on_each_divisions_train_rows_alone(
    tmp_path: Path, split: dict[str, Any]
) -> None:
    rows = small_rows(200)
    shards = small_shards(folded(split), rows, tmp_path)
    splits = pq.read_table(tmp_path / "out" / "splits.parquet")
    assert [fold.name for fold in shards.divisions] == ["fold_0", "fold_1", "fold_2", "refit"]
    for fold in shards.divisions:
        place = tmp_path / "out" / fold.name
        labels = np.array(splits[fold.name].to_pylist())
        known = numbers(rows, "x")[labels == "train"]
        fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
        encoder: Any = fitted.encoders[0]
        assert encoder.center == pytest.approx(np.nanmean(known))
        for name in ("train", "validation", "calibration", "test"):
            count = (labels == name).sum()
            assert (
                fold.rows.get(name, 0) == count == len(read_shard(place / f"{name}.parquet").weight)
            )


def test_too_few_rows_for_the_folds_are_told_with_the_fold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test has 8 in fold_0.*lower evaluation\.folds"):
        small_shards(folded({"kind": "random"}, folds=10), small_rows(80), tmp_path)


@given(
    hours=st.lists(st.integers(0, 900), min_size=60, max_size=200),
    gap=st.integers(0, 12),
    blocks=st.integers(3, 30),
)
@settings(max_examples=25, deadline=None)
def test_stretches_are_tested_once_a_repeat_and_keep_the_gap_on_both_sides(
    hours: list[int], gap: int, blocks: int
) -> None:
    split = {"kind": "blocked", "blocks": max(blocks, 20), "gap": f"{gap}h"}
    found = divided(folded(split, repeats=2), table(hours))
    assert list(found) == [*(f"fold_{i}" for i in range(6)), "refit"]
    for repeat in range(2):
        own = [found[f"fold_{3 * repeat + i}"] for i in range(3)]
        assert [[v[row] for v in own].count("test") for row in range(len(hours))] == [1] * len(
            hours
        )
    for labels in found.values():
        kept = sorted((h, v) for h, v in zip(hours, labels, strict=True) if v != "gap")
        apart = [b - a for (a, one), (b, other) in pairwise(kept) if one != other]
        assert all(hours_apart > gap for hours_apart in apart)


def test_stretches_are_contiguous_and_dealt_in_turn() -> None:
    split = FIFTHS | {"blocks": 6, "gap": "5h"}
    found = divided(folded(split, repeats=2), table(list(range(600))))
    labels = found["fold_1"]
    assert [i for i, v in enumerate(labels) if v == "test"] == [*range(100, 200), *range(400, 500)]
    # Train, train, validation, train of what is left; five hours on each side of a test stretch.
    assert [i for i, v in enumerate(labels) if v == "train"] == [
        *range(95),
        *range(205, 300),
        *range(505, 600),
    ]
    assert [i for i, v in enumerate(labels) if v == "validation"] == list(range(305, 395))
    moved = [i for i, v in enumerate(found["fold_3"]) if v == "test"]
    assert moved == [*range(50), *range(250, 350), *range(550, 600)]
    assert Counter(found["refit"]) == {"train": 495, "validation": 95, "gap": 10}


def test_as_many_stretches_as_folds_give_each_fold_one_and_fewer_are_refused() -> None:
    found = divided(folded(FIFTHS | {"blocks": 5}, folds=5), table(list(range(500))))
    for i in range(5):
        tested = [row for row, v in enumerate(found[f"fold_{i}"]) if v == "test"]
        assert tested == list(range(100 * i, 100 * i + 100))
        assert found[f"fold_{i}"].count("validation") == 100
    with pytest.raises(ValueError, match=r"at most split\.blocks, 5"):
        folded(FIFTHS | {"blocks": 5}, folds=6)


@given(count=st.integers(40, 200), folds=st.integers(2, 6), seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_each_fold_tests_on_its_share_of_every_stratum(count: int, folds: int, seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(0, 3, count)
    values[::5] = np.nan
    rows = table(list(range(count))).append_column("a", pa.array(values))
    split = {"kind": "stratified", "target": "a", "strata": 4, "seed": seed}
    found = divided(folded(split, folds=folds, repeats=2), rows)
    assert found["fold_0"] != found[f"fold_{folds}"]
    known = np.argsort(values)[: int((~np.isnan(values)).sum())]
    strata = [*np.array_split(known, 4), np.flatnonzero(np.isnan(values))]
    for repeat in range(2):
        own = [found[f"fold_{folds * repeat + i}"] for i in range(folds)]
        assert [[v[row] for v in own].count("test") for row in range(count)] == [1] * count
        for stratum in strata:
            sizes = [[labels[row] for row in stratum].count("test") for labels in own]
            assert max(sizes) - min(sizes) <= 1


def test_validation_takes_its_share_of_each_stratum_and_folds_are_even() -> None:
    values = np.random.default_rng(0).normal(size=210)
    rows = table(list(range(210))).append_column("a", pa.array(values))
    split = {"kind": "stratified", "target": "a", "strata": 3}
    found = divided(folded(split, folds=4), rows)
    greatest = np.argsort(values)[140:]
    for name, labels in found.items():
        rest = [row for row in greatest if labels[row] != "test"]
        assert [labels[r] for r in rest].count("validation") == pytest.approx(len(rest) / 5, abs=1)
        assert name == "refit" or labels.count("test") in (52, 53)


@pytest.mark.parametrize(
    "split",
    [{"kind": "blocked", "gap": "2h"}, {"kind": "stratified", "target": "a"}],
    ids=["blocked", "stratified"],
)
def test_shards_of_each_fold_are_written(tmp_path: Path, split: dict[str, Any]) -> None:
    shards = small_shards(folded(split), small_rows(300), tmp_path)
    assert [fold.name for fold in shards.divisions] == ["fold_0", "fold_1", "fold_2", "refit"]
    assert sum(fold.rows["test"] for fold in shards.folds) == 300
