"""Splits: disjoint, exhaustive, steady from snapshot to snapshot, and apart in time."""

from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.split import SPLITS
from tasks.division import LEFT_OUT, OTHER, read_codes
from tasks.errors import DataError
from tasks.splitting import check_counts, split_sql
from tests.builders import small_contract


def divide(split: dict[str, Any], rows: pa.Table) -> dict[int, str]:
    """Return the split of every `_row`."""
    contract = small_contract(split=split)
    with duckdb.connect() as database:
        database.register("rows", rows)
        found = database.execute(split_sql(contract, "rows")).fetchall()
    assert len(found) == len(rows), "every row once"
    return dict(found)


def table(hours: list[int], sites: list[int] | None = None) -> pa.Table:
    """Return rows at hours after a start, at sites."""
    start = np.datetime64("2024-01-01T00", "us")
    return pa.table(
        {
            "_row": range(len(hours)),
            "id": range(len(hours)),
            "time": start + np.array(hours, dtype="int64") * np.timedelta64(1, "h"),
            "site": sites or [0] * len(hours),
            "part": [SPLITS[i % 4] for i in range(len(hours))],
            "a": pa.array([None if i % 7 == 3 else float(i * i % 101) for i in range(len(hours))]),
        }
    )


KINDS: list[dict[str, Any]] = [
    {"kind": "time", "gap": "5h"},
    {"kind": "random"},
    {"kind": "blocked", "gap": "5h"},
    {"kind": "stratified", "target": "a"},
    {"kind": "group", "columns": ["site"]},
    {"kind": "column", "column": "part"},
]


@pytest.mark.parametrize("split", KINDS, ids=lambda s: s["kind"])
@given(hours=st.lists(st.integers(0, 500), min_size=1, max_size=80), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_splits_are_disjoint_and_exhaustive(
    split: dict[str, Any], hours: list[int], seed: int
) -> None:
    sites = np.random.default_rng(seed).integers(0, 9, len(hours)).tolist()
    found = divide(split, table(hours, sites))
    assert set(found.values()) <= {*SPLITS, "gap"}
    assert set(found) == set(range(len(hours)))


@given(
    hours=st.lists(st.integers(0, 2000), min_size=20, max_size=200),
    gap=st.integers(0, 48),
)
@settings(max_examples=40, deadline=None)
def test_a_time_split_is_in_order_and_keeps_the_gap(hours: list[int], gap: int) -> None:
    found = divide({"kind": "time", "gap": f"{gap}h"}, table(hours))
    by_split = {s: [h for i, h in enumerate(hours) if found[i] == s] for s in SPLITS}
    for earlier, later in pairwise(SPLITS):
        if by_split[earlier] and by_split[later]:
            assert min(by_split[later]) - max(by_split[earlier]) > gap or gap == 0
            assert min(by_split[later]) > max(by_split[earlier])


@given(
    hours=st.lists(st.integers(0, 2000), min_size=40, max_size=300),
    gap=st.integers(0, 48),
    blocks=st.integers(20, 60),
)
@settings(max_examples=40, deadline=None)
def test_blocks_of_other_splits_are_further_apart_than_the_gap(
    hours: list[int], gap: int, blocks: int
) -> None:
    found = divide({"kind": "blocked", "gap": f"{gap}h", "blocks": blocks}, table(hours))
    kept = sorted((h, found[i]) for i, h in enumerate(hours) if found[i] != "gap")
    assert all(b - a > gap or gap == 0 for (a, one), (b, other) in pairwise(kept) if one != other)
    # Rows of one moment share a split.
    assert len(dict(kept)) == len(set(kept))


def test_blocks_give_every_split_its_share_of_each_half_of_the_time() -> None:
    found = divide({"kind": "blocked", "blocks": 40}, table(list(range(4000))))
    for half in (range(2000), range(2000, 4000)):
        for split, share in zip(SPLITS, (0.6, 0.15, 0.1, 0.15), strict=True):
            assert sum(found[i] == split for i in half) / 2000 == pytest.approx(share, abs=0.051)


def test_too_few_blocks_for_a_share_are_refused() -> None:
    with pytest.raises(ValueError, match="more blocks, so that"):
        small_contract(split={"kind": "blocked", "blocks": 5})


def test_each_stratum_of_a_target_gives_each_split_its_share() -> None:
    rows = table(list(range(4000)))
    values = np.random.default_rng(0).lognormal(0, 3, 4000)
    rows = rows.set_column(rows.column_names.index("a"), "a", pa.array(values))
    found = divide({"kind": "stratified", "target": "a", "strata": 20}, rows)
    largest = np.argsort(values)[-200:]
    for split, share in zip(SPLITS, (0.6, 0.15, 0.1, 0.15), strict=True):
        assert sum(found[i] == split for i in largest) == pytest.approx(200 * share, abs=1)


def test_strata_are_of_a_target_alone() -> None:
    with pytest.raises(ValueError, match="one of the targets: a, b"):
        small_contract(split={"kind": "stratified", "target": "x"})


def test_a_random_split_keeps_a_row_where_it_was_when_rows_come_and_go() -> None:
    rows = table(list(range(500)))
    whole = divide({"kind": "random"}, rows)
    part = rows.slice(100, 300)
    assert divide({"kind": "random"}, part) == {i: whole[i] for i in range(100, 400)}


def test_a_group_keeps_its_split_when_rows_and_groups_come_and_go() -> None:
    split = {"kind": "group", "columns": ["site"]}
    rows = table(list(range(400)), [i % 40 for i in range(400)])
    whole = divide(split, rows)
    assert divide(split, rows.slice(50, 60)) == {i: whole[i] for i in range(50, 110)}


def test_keys_of_other_types_and_missing_keys_are_divided_too() -> None:
    ids = pa.array([None, *(f"größe '{i}'" for i in range(499))])
    rows = table(list(range(500))).set_column(1, "id", ids)
    assert len(set(divide({"kind": "random"}, rows).values())) == 4


def test_columns_of_a_key_are_not_run_together() -> None:
    rows = pa.table({"_row": range(2), "a": ["x", "xy"], "b": ["yz", "z"]})
    split = {"kind": "group", "columns": ["a", "b"]}
    found = [divide(split | {"seed": seed}, rows) for seed in range(9)]
    assert any(f[0] != f[1] for f in found)


def test_a_gap_is_counted_in_the_time_that_passes_and_not_in_rows() -> None:
    hours = [*range(60), 61, *range(1000, 1039)]
    found = divide({"kind": "time", "gap": "500h"}, table(hours))
    assert [found[i] for i in (59, 60, 61)] == ["train", "gap", "validation"]


@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.timestamp("ns"), pa.timestamp("s", tz="Asia/Tokyo")]
)
def test_a_time_split_reads_any_type_of_time(kind: pa.DataType) -> None:
    rows = table([24 * i for i in range(100)])
    times = rows["time"].cast(kind)
    found = divide({"kind": "time", "gap": "24h"}, rows.set_column(2, "time", times))
    assert list(found.values()).count("gap") == 3
    assert list(found.values()).count("train") == 60


def test_a_seed_gives_another_division() -> None:
    rows = table(list(range(200)))
    assert divide({"kind": "random", "seed": 1}, rows) != divide({"kind": "random"}, rows)


def test_a_group_never_straddles_two_splits() -> None:
    sites = [i % 40 for i in range(400)]
    found = divide({"kind": "group", "columns": ["site"]}, table(list(range(400)), sites))
    for site in range(40):
        assert len({found[i] for i in range(400) if sites[i] == site}) == 1


@pytest.mark.parametrize("split", KINDS[:4], ids=lambda s: s["kind"])
def test_shares_come_near_what_was_asked(split: dict[str, Any]) -> None:
    found = list(divide(split, table(list(range(5000)))).values())
    for split, share in zip(SPLITS, (0.6, 0.15, 0.1, 0.15), strict=True):
        assert found.count(split) / 5000 == pytest.approx(share, abs=0.02)


def test_too_few_rows_are_told_with_their_counts() -> None:
    with pytest.raises(DataError, match="test has 3, and needs at least 10"):
        check_counts(small_contract(), {"train": 50, "validation": 20, "test": 3})


@pytest.mark.parametrize(("value", "shown"), [("holdout", "holdout"), (None, "NULL")])
def test_a_value_that_is_no_split_is_told(value: str | None, shown: str) -> None:
    contract = small_contract(split={"kind": "column", "column": "part"})
    rows = pa.table({"_row": range(4), "part": ["Train", "test", "gap", value]})
    with duckdb.connect() as database:
        database.register("rows", rows)
        codes, counts = read_codes(database, split_sql(contract, "rows"), 5)
    assert codes.tolist() == [0, 3, 4, OTHER, LEFT_OUT]
    assert counts == {"train": 1, "test": 1, "gap": 1, shown: 1}
    with pytest.raises(DataError, match=rf"split\.column holds {shown}"):
        check_counts(contract, counts)
