"""Intervals are fitted on raw rows that the model has not learned from, and kept in the bundle."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks import intervals, split_rows
from tasks.intervals import HeldBack, fit_intervals
from tasks.learning.bundle import Bundle, load_bundle, save_bundle
from tasks.learning.conformal import LEVELS, fit_conformal, row_scores
from tasks.learning.fitting import fit
from tasks.learning.tables import numbers
from tasks.records import Fold
from tests.builders import replaced, small_contract, small_rows, small_shards

ROWS = small_rows(1000, missing=0.05)
FOLD = Fold(index=0, rows={"train": 400, "validation": 100, "calibration": 300}, inputs=0)


@dataclass(frozen=True)
class Given:
    """A bundle, and raw rows with splits that are not the ones it was trained on."""

    bundle: Bundle
    rows: Path
    splits: Path

    def fit(self, contract: Contract, **changes: Any) -> Any:
        held = [HeldBack(self.bundle, FOLD.model_copy(update=changes))]
        return fit_intervals(contract, held, self.rows, self.splits)

    def of(self, split: str) -> pa.Table:
        own = pq.read_table(self.splits).filter(pc.field("fold_0") == split)
        return pq.read_table(self.rows).filter(pc.is_in(pc.field("_row"), own["_row"]))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("intervals")
    noise = np.random.default_rng(9).normal(size=(2, 1000))
    rows = replaced(ROWS, "a", numbers(ROWS, "a") + noise[0])
    rows = replaced(rows, "b", numbers(rows, "b") + 10 * noise[1])
    split = {"kind": "random", "train": 0.2, "validation": 0.1, "calibration": 0.3, "test": 0.4}
    small_shards(small_contract(split=split), rows, folder)
    splits = folder / "out" / "splits.parquet"
    found = Given(Bundle([]), folder / "rows.parquet", splits)
    recipe = {"base": "shared_128_64", "hidden": [8], "epochs": 2, "batch_size": 40}
    bundle, _ = fit(small_contract(recipe=recipe), found.of("train"), found.of("validation"))
    return replace(found, bundle=bundle)


def scores(given: Given, split: str, lengths: Any) -> np.ndarray:
    rows = given.of(split)
    truth = np.stack([numbers(rows, "a"), numbers(rows, "b")], axis=1)
    return row_scores(truth, given.bundle.predict(rows), lengths)


def test_lengths_are_of_validation_rows_and_factors_of_calibration_rows(given: Given) -> None:
    found = given.fit(small_contract())
    residuals = scores(given, "validation", [1.0, 1.0])
    np.testing.assert_allclose(found.lengths, np.sqrt(np.nanmean(residuals**2, axis=0)), rtol=1e-5)
    own = scores(given, "calibration", found.lengths)
    wanted = fit_conformal(own, np.arange(len(own)), found.lengths)
    np.testing.assert_allclose(found.factors, wanted.factors, rtol=1e-4)
    np.testing.assert_allclose(found.joint, wanted.joint, rtol=1e-4)
    assert (found.order, found.joint_blocks, found.rows) == ("rows", wanted.rows, wanted.rows)


def test_test_rows_lie_inside_as_often_as_said(given: Given) -> None:
    bundle = replace(given.bundle, conformal=given.fit(small_contract()))
    rows = given.of("test")
    found = bundle.predict(rows, levels=LEVELS)
    truth = np.stack([numbers(rows, "a"), numbers(rows, "b")], axis=1)
    missing = np.isnan(truth)
    for level in LEVELS:
        low, high = (found.intervals or {})[level]
        held = (low <= truth) & (truth <= high)
        assert held[~missing].mean() == pytest.approx(level, abs=0.1)
        low, high = (found.regions or {})[level]
        known = ~missing.all(axis=1)
        together = (((low <= truth) & (truth <= high)) | missing).all(axis=1)[known]
        assert together.mean() == pytest.approx(level, abs=0.12)


def test_blocks_are_what_the_split_keeps_together(given: Given) -> None:
    group = given.fit(small_contract(split={"kind": "group", "columns": ["place"]}))
    assert (group.order, group.joint_blocks) == ("group", 3)  # here, there, and missing
    assert np.isinf(group.joint[LEVELS.index(0.8)])
    time = given.fit(small_contract(split={"kind": "time"}))
    assert time.order == "time"
    assert 20 <= time.joint_blocks <= time.rows
    rows = given.fit(small_contract(split={"kind": "column", "column": "place"}, time=None))
    assert rows.order == "rows"


def test_small_blocks_of_rows_give_the_same_intervals(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = given.fit(small_contract())
    monkeypatch.setattr(split_rows, "BLOCK_ROWS", 100)
    parts = given.fit(small_contract())
    np.testing.assert_allclose(parts.factors, whole.factors, rtol=1e-4)
    np.testing.assert_allclose(parts.lengths, whole.lengths, rtol=1e-5)


def test_of_very_many_rows_a_share_is_looked_at(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = given.fit(small_contract())
    monkeypatch.setattr(intervals, "MOST_ROWS", 150)
    part = given.fit(small_contract())
    assert 110 < part.rows < 190
    assert part.factors[2][0] == pytest.approx(whole.factors[2][0], rel=0.3)


def test_rows_of_no_weight_are_not_looked_at(given: Given, tmp_path: Path) -> None:
    rows = pq.read_table(given.rows)
    known = ~np.isnan(numbers(rows, "a"))
    spoiled = replaced(rows, "a", numbers(rows, "a") + np.where(np.arange(1000) % 2, 1e6, 0))
    pq.write_table(replaced(spoiled, "weight", (np.arange(1000) + 1) % 2), tmp_path / "rows")
    pq.write_table(rows.filter(pa.array(np.arange(1000) % 2 == 0)), tmp_path / "even")
    assert known.any()
    weighed = replace(given, rows=tmp_path / "rows").fit(small_contract(row_weight="weight"))
    assert weighed.lengths[0] < 1e3
    assert weighed.factors[2][0] < 100


def test_several_bundles_give_what_each_was_held_back_from(given: Given) -> None:
    other = FOLD.model_copy(update={"rows": {"test": 400}})
    held = [HeldBack(given.bundle, FOLD), HeldBack(given.bundle, other, "test")]
    both = fit_intervals(small_contract(), held, given.rows, given.splits)
    assert both is not None
    lengths = both.lengths
    own = np.concatenate([scores(given, s, lengths) for s in ("calibration", "test")])
    wanted = fit_conformal(own, np.arange(len(own)), lengths)
    np.testing.assert_allclose(both.factors, wanted.factors, rtol=1e-4)


def test_without_calibration_rows_there_are_no_intervals(given: Given, tmp_path: Path) -> None:
    splits = pq.read_table(given.splits)
    less = splits.filter(pc.field("fold_0") != "calibration")
    pq.write_table(less, tmp_path / "splits")
    assert replace(given, splits=tmp_path / "splits").fit(small_contract()) is None


def test_intervals_are_kept_in_the_bundle_and_belong_to_all_members_together(
    given: Given, tmp_path: Path
) -> None:
    fitted = given.fit(small_contract())
    bundle = Bundle([*given.bundle.members] * 2, fitted)
    save_bundle(bundle, tmp_path / "bundle")
    assert sorted(f.name for f in (tmp_path / "bundle").iterdir()) == [
        "bundle.json",
        "conformal.json",
        "member_0",
        "member_1",
    ]
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.conformal == fitted
    found = loaded.predict(given.of("test"), levels=[0.8])
    low, high = (found.intervals or {})[0.8]
    np.testing.assert_allclose((low + high) / 2, found.mean, atol=1e-6)


def test_a_bundle_of_before_there_were_intervals_answers_without(
    given: Given, tmp_path: Path
) -> None:
    save_bundle(given.bundle, tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "conformal.json").exists()
    found = load_bundle(tmp_path / "bundle").predict(given.of("test"), levels=[0.9])
    assert found.intervals is None
    assert found.regions is None
