"""Shards: whole and readable whatever the columns and the labels are called."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_contracts.split import SPLITS
from tasks.errors import DataError
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import Arrays, read_shard, to_arrays
from tests.builders import replaced, small_contract, small_rows, small_shards


def shard(folder: Path, split: str) -> Arrays:
    return read_shard(folder / "out" / "fold_0" / f"{split}.parquet")


def assigned(folder: Path) -> np.ndarray:
    """Return each row's split."""
    return np.array(pq.read_table(folder / "out" / "splits.parquet")["fold_0"].to_pylist())


def test_shards_hold_each_split_scaled_and_in_order(tmp_path: Path) -> None:
    contract, rows = small_contract(row_weight="weight"), small_rows(400)
    rows = replaced(rows, "weight", np.arange(400.0))
    small_shards(contract, rows, tmp_path)
    text = (tmp_path / "out" / "fold_0" / "preprocessing.json").read_text("utf-8")
    fitted = Preprocessing.from_json(text)
    for split in SPLITS:
        expected = to_arrays(contract, fitted, rows.filter(assigned(tmp_path) == split))
        found = shard(tmp_path, split)
        np.testing.assert_array_equal(found.inputs, expected.inputs)
        np.testing.assert_array_equal(found.targets, expected.targets)
        np.testing.assert_array_equal(found.weight, expected.weight)


def test_the_record_counts_the_rows_of_every_split(tmp_path: Path) -> None:
    split = {"kind": "time", "gap": "2h"}
    record = small_shards(small_contract(split=split), small_rows(400), tmp_path)
    assert sum(record.folds[0].rows.values()) == 400
    assert list(record.folds[0].rows) == [*SPLITS, "gap"]
    for name in SPLITS:
        assert len(shard(tmp_path, name).weight) == record.folds[0].rows[name]


def test_quarantined_rows_are_in_no_shard(tmp_path: Path) -> None:
    from tasks.preprocess import write_shards

    rows = small_rows(400)
    record = small_shards(small_contract(), rows, tmp_path)
    pq.write_table(rows.slice(0, 100).select(["_row"]), tmp_path / "quarantine.parquet")
    files = (tmp_path / "rows.parquet", tmp_path / "quarantine.parquet")
    (tmp_path / "out" / "less").mkdir()
    less = write_shards(small_contract(), record.checked, *files, tmp_path / "out" / "less")
    assert sum(less.folds[0].rows.values()) == 300
    kept = pq.read_table(tmp_path / "out" / "less" / "splits.parquet")["_row"].to_pylist()
    assert kept == list(range(100, 400))


@pytest.mark.parametrize("label", ["other", "missing", "", "x", "größe", 'a"b', "x/y"])
def test_a_label_may_be_any_word(tmp_path: Path, label: str) -> None:
    places = [label if i % 2 else "here" for i in range(400)]
    record = small_shards(small_contract(), replaced(small_rows(400), "place", places), tmp_path)
    assert shard(tmp_path, "test").inputs.shape[1] == record.folds[0].inputs


@pytest.mark.parametrize("name", ["split", "fold_0", "place of mine", "weight", "y/a", 'a"b', "x."])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    content: dict[str, Any] = {"x": {}, name: {}}
    rows = replaced(small_rows(400), name, np.arange(400.0))
    small_shards(small_contract(features=content, key=[name]), rows, tmp_path)
    assert shard(tmp_path, "train").inputs.shape[1] == 3


@pytest.mark.parametrize("column", ["split", "part", "place", "_split"])
def test_the_column_that_says_the_split_may_have_any_name(tmp_path: Path, column: str) -> None:
    splits = [SPLITS[i % 4].upper() for i in range(400)]
    contract = small_contract(
        split={"kind": "column", "column": column}, features={"x": {}}, targets={"a": {"unit": "K"}}
    )
    small_shards(contract, replaced(small_rows(400), column, splits), tmp_path)
    assert assigned(tmp_path).tolist() == [s.lower() for s in splits]


@pytest.mark.parametrize("value", ["holdout", None, ""])
def test_a_value_in_the_split_column_that_is_no_split_is_told(
    tmp_path: Path, value: str | None
) -> None:
    splits = [value, *(SPLITS[i % 4] for i in range(399))]
    contract = small_contract(split={"kind": "column", "column": "part"})
    with pytest.raises(DataError, match=r"split\.column holds"):
        small_shards(contract, replaced(small_rows(400), "part", splits), tmp_path)


def test_no_calibration_rows_are_an_empty_shard(tmp_path: Path) -> None:
    split = {"kind": "random", "train": 0.7, "calibration": 0, "test": 0.15}
    small_shards(small_contract(split=split), small_rows(400), tmp_path)
    assert shard(tmp_path, "calibration").inputs.shape[0] == 0


def test_too_few_rows_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few rows to split"):
        small_shards(small_contract(), small_rows(30), tmp_path)


@pytest.mark.parametrize("seen", [None, 3.0])
def test_a_target_that_train_never_saw_or_saw_still_stops_the_run(
    tmp_path: Path, seen: float | None
) -> None:
    contract = small_contract(split={"kind": "time"}, targets={"a": {"unit": "K"}})
    rows = small_rows(400)
    late = [v if i >= 300 else seen for i, v in enumerate(rows["a"].to_pylist())]
    with pytest.raises(DataError, match=r"^a: does not vary in the train rows"):
        small_shards(contract, replaced(rows, "a", late), tmp_path)


def test_many_batches_make_the_same_shard_as_one(tmp_path: Path) -> None:
    # More rows than a batch holds.
    contract = small_contract(features={"x": {}}, targets={"a": {"unit": "K"}})
    record = small_shards(contract, small_rows(120_000), tmp_path)
    train = shard(tmp_path, "train")
    assert len(train.weight) == record.folds[0].rows["train"] > 65_536
    observed = train.targets[~np.isnan(train.targets)]
    assert math.isclose(float(observed.std(dtype=np.float64)), 1, rel_tol=1e-4)
