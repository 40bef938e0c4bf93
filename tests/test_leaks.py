"""Leads that reach across the gap are found, whatever they are called; lags and chance are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from tasks.errors import DataError
from tasks.leaks import leaks
from tests.builders import replaced, small_contract, small_rows, small_shards

COUNT = 600


def timed(gap: str, **changes: Any) -> Contract:
    targets = {"a": {"unit": "K"}, "b": {"unit": "Pa"}}
    features = {"x": {}, "z": {}}
    split = {"kind": "time", "gap": gap}
    content = {"split": split, "targets": targets, "features": features, "key": ["time"]}
    return small_contract(**content | changes)


def shifted(values: Any, rows: int) -> pa.Array:
    """Return values of so many rows later, missing beyond the ends."""
    source = np.asarray(values, float)
    place = np.arange(source.size) + rows
    found = np.full(source.size, np.nan)
    inside = (place >= 0) & (place < source.size)
    found[inside] = source[place[inside]]
    return pa.array(found, from_pandas=True)


def planted(rows: int, step: float = 0.0) -> pa.Table:
    """Return rows whose z is the target a of so many rows later, in steps of `step`."""
    table = small_rows(COUNT)
    target = table["a"].to_numpy()
    if step:
        target = np.round(target / step) * step
        table = replaced(table, "a", target)
    return replaced(table, "z", shifted(target, rows))


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_a_planted_lead_is_found_with_the_gap_that_it_needs(tmp_path: Path, step: float) -> None:
    words = r"^z holds a of 24 rows later, 24 hours ahead: with a gap of 6h.*split\.gap: 1d or"
    with pytest.raises(DataError, match=words):
        small_shards(timed("6h"), planted(24, step), tmp_path)


@pytest.mark.parametrize("kind", ["time", "blocked"])
def test_a_gap_as_long_as_the_lead_is_enough(tmp_path: Path, kind: str) -> None:
    contract = timed("24h", split={"kind": kind, "gap": "24h"})
    small_shards(contract, planted(24), tmp_path)
    assert (tmp_path / "out" / "fold_0" / "train.parquet").is_file()


def test_a_lead_in_another_target_is_found_too() -> None:
    rows = replaced(small_rows(COUNT), "b", shifted(small_rows(COUNT)["a"].to_numpy(), 3))
    found = leaks(timed("0s"), rows)
    assert [(leak.column, leak.target, leak.rows, leak.ahead) for leak in found] == [
        ("b", "a", 3, 3 * 3600.0)
    ]


def test_a_lag_is_no_leak() -> None:
    assert leaks(timed("0s"), planted(-5)) == []


def test_columns_alike_by_chance_are_no_leak() -> None:
    rows = small_rows(COUNT)
    mostly_still = (np.arange(COUNT) % 50 == 0).astype(float)
    for name in ("x", "z", "a"):
        rows = replaced(rows, name, mostly_still)
    assert leaks(timed("0s"), rows) == []


def test_a_lead_is_counted_within_the_rows_that_share_the_rest_of_the_key() -> None:
    whole = planted(2)
    sites = [pa.table(replaced(whole, "site", [name] * COUNT)) for name in ("here", "there")]
    rows = pa.concat_tables(sites).take(
        pa.array(np.arange(2 * COUNT).reshape(2, COUNT).T.ravel())  # in order of time, then site
    )
    found = leaks(timed("0s", key=["time", "site"]), rows)
    assert [(leak.column, leak.rows, leak.ahead) for leak in found] == [("z", 2, 7200.0)]
