"""Rows that a candidate has seen are known again, whatever types their key has."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.seen import SEEN_SPLITS, key_hashes, read_seen, seen_key, write_seen
from tasks.split_rows import split_rows
from tests.builders import replaced, small_contract, small_rows, small_shards


def hashed(values: Any, kind: Any = None) -> list[int]:
    column = pa.array(values, kind) if kind is not None else values
    return key_hashes(small_contract(), pa.table({"id": column})).tolist()


def test_a_keys_hash_never_changes() -> None:
    # Another value would take all rows of every version that there is for fresh.
    assert hashed(pa.array([7])) == [13705163985102109960]
    assert hashed(pa.array(["JFK", None])) == [3066979062889535613, 10070735111616835119]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(30), pa.string()]
)
def test_whole_numbers_hash_alike_in_every_type(kind: pa.DataType) -> None:
    values = pa.array([0, 1, 100, None]).cast(kind)
    assert hashed(values) == hashed([0, 1, 100, None], pa.int64())


def test_moments_hash_alike_in_every_unit_and_zone() -> None:
    day = np.array(["2024-01-01", "2024-06-01"], "datetime64[D]")
    wanted = hashed(day, pa.date32())
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "America/New_York"):
            values = pa.array(day.astype(f"datetime64[{unit}]"), pa.timestamp(unit))
            assert hashed(values.cast(pa.timestamp(unit, zone))) == wanted


def test_labels_hash_alike_as_text_and_as_codes() -> None:
    labels = pa.array(["b", "a", None, "b", "007"])
    assert hashed(labels.dictionary_encode()) == hashed(labels)
    assert hashed(labels.cast(pa.large_string())) == hashed(labels)
    assert len(set(hashed(labels))) == 4
    assert hashed(["007"]) != hashed([7])


def test_different_keys_hash_differently() -> None:
    values = np.concatenate([np.arange(200_000), np.arange(200_000) + 0.5])
    assert np.unique(hashed(values)).size == values.size
    assert len(set(hashed([0], pa.int64()) + hashed([0.0, None]) + hashed([""]))) == 3


def test_bits_of_the_hash_are_even() -> None:
    bits = np.unpackbits(np.array(hashed(np.arange(20_000)), np.uint64).view(np.uint8))
    shares = bits.reshape(-1, 64).mean(axis=0)
    assert np.abs(shares - 0.5).max() < 0.03  # 8 deviations


def two_keys(*names: str) -> Contract:
    return small_contract(key=list(names))


def test_every_column_of_the_key_counts_and_their_order_does_not() -> None:
    rows = pa.table({"id": [1, 1, 2, 2], "place": ["a", "b", "a", "b"]})
    found = key_hashes(two_keys("id", "place"), rows)
    assert np.unique(found).size == 4
    np.testing.assert_array_equal(key_hashes(two_keys("place", "id"), rows), found)
    swapped = pa.table({"id": ["a"], "place": [1]})
    assert key_hashes(two_keys("id", "place"), swapped)[0] not in found


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="raw rows need the columns id; came: x"):
        key_hashes(small_contract(), pa.table({"x": [1]}))
    with pytest.raises(ValueError, match=r"id: expected a key that can be hashed, came list"):
        hashed([[1], [2]])


def test_seen_rows_are_those_of_all_splits_but_test(tmp_path: Path) -> None:
    contract = small_contract(key=["id", "time"])
    rows = replaced(small_rows(400), "fold_0", np.arange(400))
    small_shards(contract, rows, tmp_path)
    files = tmp_path / "rows.parquet", tmp_path / "out" / "splits.parquet"
    write_seen(contract, split_rows(*files, [0], SEEN_SPLITS, contract.key), tmp_path / "seen")
    found = read_seen(tmp_path / "seen")
    assert (np.diff(found.astype(float)) > 0).all()
    test = next(split_rows(*files, [0], ["test"], contract.key))
    assert not np.isin(key_hashes(contract, test), found).any()
    assert np.isin(key_hashes(contract, rows), found).sum() == 400 - len(test)
    assert seen_key(tmp_path / "seen") == ("id", "time")


def test_no_rows_are_seen_where_there_are_none(tmp_path: Path) -> None:
    write_seen(small_contract(), [], tmp_path / "seen")
    assert read_seen(tmp_path / "seen").size == 0
