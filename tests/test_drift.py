"""How far the test rows have moved from the train rows, in numbers that are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks import drift as module
from tasks.drift import Drift, drift, stability
from tasks.records import Fold, Shards
from tests.builders import CHECKED, small_contract

ROWS = 4000
"""Half of them train rows, the others test rows."""


def moved(folder: Path, contract: Contract | None = None, **columns: Any) -> dict[str, Drift]:
    """Return the drift by column of the small contract, where `columns` replace what stands still.

    The first half are train rows.
    """
    contract = contract or small_contract()
    draw = np.random.default_rng(0)
    content: dict[str, Any] = {"_row": np.arange(ROWS), "time": np.arange(ROWS)}
    content |= {name: draw.normal(size=ROWS) for name in ("x", "z", "angle", "a", "b")}
    content["place"] = draw.choice(["here", "there"], ROWS)
    rows, splits = folder / "rows.parquet", folder / "splits.parquet"
    pq.write_table(pa.table(content | columns), rows)
    half = np.where(np.arange(ROWS) < ROWS // 2, "train", "test")
    pq.write_table(pa.table({"_row": np.arange(ROWS), "fold_0": half}), splits)
    fold = Fold(index=0, rows={"train": ROWS // 2, "test": ROWS // 2}, inputs=1)
    shards = Shards(checked=CHECKED, folds=(fold,), targets=tuple(contract.target_columns))
    return {d.column: d for d in drift(contract, shards, rows, splits)}


def test_shares_that_differ_make_an_index_that_can_be_reckoned_by_hand() -> None:
    index, _ = stability(np.array([5e6, 5e6]), np.array([8e6, 2e6]))
    assert index == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4), rel=1e-5)


def test_chance_is_what_one_of_twenty_exceeds_where_nothing_has_moved() -> None:
    draw = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    found = [stability(*draw.multinomial([300, 200], shares).astype(float)) for _ in range(1000)]
    assert 0.02 < np.mean([index > chance for index, chance in found]) < 0.09


def test_columns_that_stand_still_read_as_little_or_chance(tmp_path: Path) -> None:
    found = moved(tmp_path)
    assert {d.reading for d in found.values()} <= {"within chance", "little"}


def test_a_shift_by_a_deviation_is_large_and_told_in_the_columns_unit(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=ROWS)
    values[ROWS // 2 :] += 1
    found = moved(tmp_path, x=values)["x"]
    assert (found.reading, found.unit, found.target) == ("large", "m", False)
    # The index of two normal distributions one deviation apart is 1, and less in bins.
    assert 0.8 < found.index < 1.1


def test_the_worst_come_first_and_targets_are_among_them(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=ROWS)
    values[ROWS // 2 :] *= 3
    found = moved(tmp_path, b=values)
    assert next(iter(found)) == "b"
    assert found["b"].target


def test_the_share_of_test_rows_outside_of_the_train_rows_range_is_told(tmp_path: Path) -> None:
    values = np.linspace(0, 1, ROWS // 2)
    late = np.where(np.arange(ROWS // 2) < 50, 2.0, values)
    found = moved(tmp_path, x=np.concatenate([values, late]))["x"]
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.outside == pytest.approx(50 / (ROWS / 2))


def test_a_column_that_was_constant_and_is_not_any_more_has_drifted(tmp_path: Path) -> None:
    values = np.where(np.arange(ROWS) < ROWS // 2, 5.0, 5.0 + np.arange(ROWS) % 2)
    assert moved(tmp_path, x=values)["x"].reading == "large"


def test_missing_cells_are_a_bin_of_their_own(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=ROWS)
    values[ROWS // 2 :: 2] = np.nan
    for missing in (values, pa.array(values, from_pandas=True)):
        assert moved(tmp_path, x=missing)["x"].reading == "large"


def test_labels_are_compared_and_have_no_range(tmp_path: Path) -> None:
    labels = np.where(np.arange(ROWS) < ROWS * 3 // 4, "here", "there")
    found = moved(tmp_path, place=labels)["place"]
    assert (found.reading, found.low, found.outside) == ("large", None, None)


def test_a_label_that_is_the_text_of_a_missing_one_is_not_taken_for_it(tmp_path: Path) -> None:
    labels = [None if i < ROWS // 2 else "-" for i in range(ROWS)]
    assert moved(tmp_path, place=labels)["place"].reading == "large"


def test_times_and_columns_without_train_values_are_left_out(tmp_path: Path) -> None:
    found = moved(tmp_path, x=np.where(np.arange(ROWS) < ROWS // 2, np.nan, 1.0))
    assert {"time", "x"}.isdisjoint(found)


def test_no_more_columns_are_looked_at_than_a_reader_wants(tmp_path: Path) -> None:
    names = {f"wide_{i}": np.zeros(ROWS) for i in range(250)}
    contract = small_contract(features={"x": {}, "z": {}, "wide[250]": {}})
    assert len(moved(tmp_path, contract, **names)) == module.MOST_COLUMNS


def test_bins_of_some_of_the_rows_tell_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    values = np.random.default_rng(1).normal(size=ROWS)
    values[ROWS // 2 :] += 1
    whole = moved(tmp_path, x=values)["x"]
    monkeypatch.setattr(module, "MOST_ROWS", 1000)
    some = moved(tmp_path, x=values)["x"]
    assert some.index == pytest.approx(whole.index, rel=0.25)
    assert some.chance > whole.chance
    assert (some.low, some.high) == (whole.low, whole.high)
