"""Raw rows of a split come in order and in blocks."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import split_rows as module
from tasks.split_rows import split_rows
from tests.builders import replaced, small_contract, small_rows, small_shards


def test_a_splits_rows_come_in_order_with_the_columns_asked_for(tmp_path: Path) -> None:
    small_shards(small_contract(), small_rows(400), tmp_path)
    splits = tmp_path / "out" / "splits.parquet"
    found = pa.concat_tables(split_rows(tmp_path / "rows.parquet", splits, [0], ["test"], ["a"]))
    chosen = pq.read_table(splits)["fold_0"].to_numpy() == "test"
    assert found.column_names == ["_row", "a"]
    assert found["_row"].to_pylist() == np.flatnonzero(chosen).tolist()
    assert found["a"].equals(small_rows(400)["a"].filter(pa.array(chosen)))


def test_small_blocks_hold_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = replaced(small_rows(400), "x.y", np.arange(400))
    small_shards(small_contract(), rows, tmp_path)
    files = tmp_path / "rows.parquet", tmp_path / "out" / "splits.parquet"
    whole = pa.concat_tables(split_rows(*files, [0], ["train", "test"], ["x"]))
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    blocks = list(split_rows(*files, [0], ["train", "test"], ["x"]))
    assert max(map(len, blocks)) <= 7 < len(blocks)
    assert pa.concat_tables(blocks).equals(whole)


def test_a_row_of_the_split_in_any_fold_comes_once_and_a_row_of_no_split_never(
    tmp_path: Path,
) -> None:
    pq.write_table(pa.table({"_row": range(5), "x": list("abcde")}), tmp_path / "rows")
    folds = {"_row": [0, 1, 3, 4], "fold_0": ["test", "train", "test", "gap"]}
    folds |= {"fold_1": ["test", "test", "train", "train"]}
    pq.write_table(pa.table(folds), tmp_path / "splits")
    found = split_rows(tmp_path / "rows", tmp_path / "splits", [0, 1], ["test"], ["x"])
    assert [block["x"].to_pylist() for block in found] == [["a", "b", "d"]]
