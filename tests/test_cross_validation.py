"""Cross-validation in training: a network per fold, and what is published of them."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.learning.bundle import load_bundle
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.tables import numbers
from tasks.records import Candidate
from tasks.seen import read_seen
from tasks.storage import root_storage
from tests.builders import small_candidate, small_contract, small_rows

SMALL: dict[str, Any] = {"features": {"x": {}}, "targets": {"a": {"unit": "K"}}}
RECIPE = {"base": "shared_128_64", "hidden": [2], "epochs": 2, "batch_size": 24}


@dataclass(frozen=True)
class Trained:
    """A candidate of two folds of 100 rows, its folder and that of its shards."""

    record: Candidate
    folder: Path
    shards: Path

    @property
    def splits(self) -> pa.Table:
        return pq.read_table(self.shards / "splits.parquet")

    def fold(self, index: int) -> Path:
        return self.folder / self.record.folder_of(self.record.shards.folds[index])


def candidate(**evaluation: Any) -> Trained:
    contract = small_contract(evaluation={"folds": 2} | evaluation, recipe=RECIPE, **SMALL)
    record, fetch = small_candidate(contract, small_rows(100)), root_storage().fetch
    return Trained(record, fetch(record.place), fetch(record.shards.place))


@pytest.fixture(scope="module")
def refit(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYCAST_HOME", str(tmp_path_factory.mktemp("refit")))
        return candidate(control="independent")


def fitted(bundle: Path) -> Preprocessing:
    return load_bundle(bundle).members[0].preprocessing


def of_shards(shards: Path, division: str) -> Preprocessing:
    return Preprocessing.from_json((shards / division / "preprocessing.json").read_text("utf-8"))


def test_each_fold_has_a_network_of_its_own_train_rows_beside_its_control(refit: Trained) -> None:
    for i in range(2):
        own = refit.fold(i)
        expected = of_shards(refit.shards, f"fold_{i}")
        assert fitted(own / "bundle") == fitted(own / "control") == expected
        assert load_bundle(own / "control").members[0].architecture == "independent"
    assert not (refit.folder / "control").exists()


def test_a_refit_is_one_network_of_all_rows(refit: Trained) -> None:
    assert refit.record.members == len(load_bundle(refit.folder / "bundle").members) == 1
    assert fitted(refit.folder / "bundle") == of_shards(refit.shards, "refit")
    assert refit.record.shards.refit is not None
    assert sum(refit.record.shards.refit.rows.values()) == 100


def test_intervals_come_from_the_folds_errors_on_rows_that_they_have_not_seen(
    refit: Trained,
) -> None:
    whole = load_bundle(refit.folder / "bundle").conformal
    folds = [load_bundle(refit.fold(i) / "bundle").conformal for i in range(2)]
    known = ~np.isnan(numbers(small_rows(100), "a"))
    assert whole is not None
    assert whole.rows == known.sum()
    test = [np.array(refit.splits[f"fold_{i}"].to_pylist()) == "test" for i in range(2)]
    assert [f and f.rows for f in folds] == [(known & t).sum() for t in reversed(test)]


def test_all_rows_have_been_seen(refit: Trained) -> None:
    assert len(read_seen(refit.folder / "seen.parquet")) == 100


def test_the_curves_of_all_are_kept_the_published_first(refit: Trained) -> None:
    curves = json.loads((refit.folder / "curves.json").read_text("utf-8"))
    assert [c["division"] for c in curves] == ["refit", "fold_0", "fold_1"]
    assert all(len(c["loss"]) == len(c["val_loss"]) == 2 for c in curves)


def test_members_answer_with_the_mean_of_the_folds_networks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "polycast")
    found = candidate(publish="members")
    rows = small_rows(100)
    each = [load_bundle(found.fold(i) / "bundle").predict(rows).mean for i in range(2)]
    together = load_bundle(found.folder / "bundle").predict(rows).mean
    np.testing.assert_allclose(together, np.mean(each, axis=0))
    assert found.record.members == 2
    assert np.ptp(each, axis=0).max() > 0
    told = [r.__dict__ for r in caplog.records if getattr(r, "state", "") == "epoch"]
    assert [t["which"] for t in told] == ["fold 1 of 2: ", "fold 2 of 2: "] * 2
    assert [(t["part"], t["parts"]) for t in told] == [(0, 1)] * 4
