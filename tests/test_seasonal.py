"""Seasonal persistence: the own value a season before, if it was known by then."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.evaluate.seasonal import seasonal_persistence, step_back
from tests.builders import small_contract

HOURS = 24 * 5


def stations(*names: str) -> pa.Table:
    """Hourly rows of some stations, the first one's values being the hour, the next one's 1000
    more, and so on."""
    hour = np.tile(np.arange(HOURS), len(names))
    place = np.repeat(np.arange(len(names)), HOURS)
    start = np.datetime64("2024-01-01T00", "us")
    return pa.table(
        {
            "_row": np.arange(len(hour)),
            "station": np.array(names)[place],
            "time": start + hour * np.timedelta64(1, "h"),
            "x": np.zeros(len(hour)),
            "a": hour + 1000.0 * place,
        }
    )


def contract(**evaluation: Any) -> Contract:
    return small_contract(
        key=["station", "time"],
        features={"x": {}},
        targets={"a": {"unit": "K"}},
        evaluation=evaluation,
    )


def found(by: Contract, rows: pa.Table, asked: pa.Table, folder: Path, kept: Any = None) -> Any:
    """The values for `asked`, from `rows` of which those in `kept` are not in quarantine."""
    pq.write_table(rows, folder / "rows.parquet")
    own = rows["_row"] if kept is None else kept
    pq.write_table(pa.table({"_row": own}), folder / "splits.parquet")
    files = folder / "rows.parquet", folder / "splits.parquet"
    return seasonal_persistence(by, *files, asked)[:, 0]


def test_the_value_is_the_same_stations_a_season_before(tmp_path: Path) -> None:
    rows = stations("EWR", "JFK")
    values = found(contract(season="1d"), rows, rows, tmp_path)
    expected = rows["a"].to_numpy() - 24.0
    expected[np.tile(np.arange(HOURS), 2) < 24] = np.nan
    np.testing.assert_array_equal(values, expected)


def test_rows_may_come_in_any_order_and_cut_anyhow(tmp_path: Path) -> None:
    rows = stations("EWR", "JFK")
    order = np.random.default_rng(0).permutation(len(rows))
    whole = found(contract(season="6h"), rows, rows, tmp_path)
    mixed = found(contract(season="6h"), rows, rows.take(order[:17]), tmp_path)
    np.testing.assert_array_equal(mixed, whole[order[:17]])


def test_there_is_no_value_in_a_gap_and_none_from_quarantine(tmp_path: Path) -> None:
    rows = stations("EWR")
    there = rows.filter(np.arange(HOURS) != 30)
    kept = np.delete(np.arange(HOURS), 31)
    values = found(contract(season="1d"), there, there.slice(52, 4), tmp_path, kept)
    np.testing.assert_array_equal(values, [29.0, np.nan, np.nan, 32.0])


@pytest.mark.parametrize(
    ("evaluation", "split", "hours"),
    [
        ({"season": "1d"}, {"kind": "random"}, 24),
        ({"season": "1d", "lead": "3h"}, {"kind": "random"}, 24),
        ({"season": "1d", "lead": "24h"}, {"kind": "random"}, 24),
        ({"season": "1d", "lead": "25h"}, {"kind": "random"}, 48),
        ({"season": "1d"}, {"kind": "time", "gap": "25h"}, 48),
        ({"season": "1d", "lead": "3h"}, {"kind": "time", "gap": "25h"}, 24),
    ],
)
def test_no_value_is_used_before_it_is_known(
    evaluation: dict[str, Any], split: dict[str, Any], hours: int
) -> None:
    assert step_back(small_contract(evaluation=evaluation, split=split)) == hours * 3600


def test_rows_that_are_ordered_by_a_number_have_none(tmp_path: Path) -> None:
    rows = stations("EWR")
    rows = rows.set_column(2, "time", pa.array(np.arange(HOURS)))
    assert np.isnan(found(contract(), rows, rows, tmp_path)).all()
