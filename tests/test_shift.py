"""Rows that have moved from a reference are told from those that have not, of known truth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.contract import Contract
from tasks.histograms import compared, reference
from tasks.learning.discoveries import discoveries
from tasks.learning.reference import Histogram, Reference
from tasks.learning.shift import Limits, Shift, same, shifts, stability
from tests.builders import replaced, small_contract, small_rows

LIMITS = Limits(stability=0.25, distance=0.25, missing=0.05, new=0.01, false_discoveries=0.05)
CONTRACT = small_contract()


def types(rows: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in rows.schema}


def fitted(rows: pa.Table, folder: Path, contract: Contract = CONTRACT) -> Reference:
    """Return the reference of rows that are all train rows, as it is read from its file."""
    pq.write_table(rows, folder / "rows.parquet")
    splits = {"_row": rows.column("_row"), "fold_0": ["train"] * len(rows)}
    pq.write_table(pa.table(splits), folder / "splits.parquet")
    files = folder / "rows.parquet", folder / "splits.parquet"
    found = reference(contract, types(rows), *files, ["fold_0"], "7d")
    return Reference.from_json(found.to_json())


def moved(was: Reference, rows: pa.Table, folder: Path) -> dict[str, Shift]:
    """Return the shift of later rows by column."""
    pq.write_table(rows, folder / "later.parquet")
    pairs = compared(was, types(rows), folder / "later.parquet")
    return {s.column: s for s in shifts(pairs, LIMITS)}


def measures(shift: Shift) -> set[str]:
    """Return the measures by which a column has moved."""
    return {e.measure for e in shift.effects if e.moved}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Path]:
    folder = tmp_path_factory.mktemp("many")
    return fitted(small_rows(200_000, seed=1), folder), folder


def test_a_million_rows_that_have_not_moved_ring_no_alarm(many: tuple[Reference, Path]) -> None:
    found = moved(many[0], small_rows(1_000_000, seed=2), many[1])
    assert set(found) == {"a", "b", "x", "z", "place", "angle"}
    assert not [s for s in found.values() if s.moved]


def test_a_million_rows_that_have_hardly_moved_ring_none_though_it_is_no_chance(
    many: tuple[Reference, Path],
) -> None:
    rows = small_rows(1_000_000, seed=2)
    x = np.array(rows.column("x").to_numpy()) + 0.05 * 2
    found = moved(many[0], replaced(rows, "x", x), many[1])["x"]
    assert min(e.p for e in found.effects) < 1e-9
    assert not found.moved


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_a_shift_of_half_a_deviation_rings_in_its_column_alone(
    many: tuple[Reference, Path], count: int
) -> None:
    rows = small_rows(count, seed=3)
    shifted = np.array(rows.column("x").to_numpy()) + 0.5 * 2
    found = moved(many[0], replaced(rows, "x", shifted), many[1])
    assert [s.column for s in found.values() if s.moved] == ["x"]
    assert "distance" in measures(found["x"])
    assert found["x"].value("distance") == pytest.approx(0.5, abs=0.1)
    assert next(iter(found)) == "x"  # farthest moved first


def test_a_spread_that_doubles_rings_though_the_mean_stays(many: tuple[Reference, Path]) -> None:
    rows = small_rows(5_000, seed=3)
    z = np.array(rows.column("z").to_numpy())
    found = moved(many[0], replaced(rows, "z", 2 * z + 3), many[1])
    assert measures(found["z"]) == {"stability", "distance"}


def test_a_label_that_is_new_is_named(many: tuple[Reference, Path]) -> None:
    rows = small_rows(2_000, seed=4)
    place = ["elsewhere" if i % 20 == 0 else p for i, p in enumerate(rows["place"].to_pylist())]
    found = moved(many[0], replaced(rows, "place", place), many[1])["place"]
    assert "new" in measures(found)
    assert found.value("new") == pytest.approx(100 / np.sum([p is not None for p in place]))
    assert found.new == ("elsewhere",)


def test_whole_numbers_are_the_same_labels_beside_missing_ones(tmp_path: Path) -> None:
    draw = np.random.default_rng(0).integers(1, 4, 2_000)
    was = fitted(replaced(small_rows(2_000), "place", draw), tmp_path)
    floats = np.where(np.arange(2_000) == 7, np.nan, draw)
    found = moved(was, replaced(small_rows(2_000), "place", floats), tmp_path)["place"]
    assert found.value("new") == 0
    assert not found.moved


def test_more_missing_values_ring_for_a_feature_and_not_for_a_target(
    many: tuple[Reference, Path],
) -> None:
    rows = small_rows(5_000, seed=5)
    holes = np.random.default_rng(0).random(5_000) < 0.2
    for name in ("x", "a"):
        values = np.where(holes, np.nan, np.array(rows.column(name).to_numpy()))
        rows = replaced(rows, name, values)
    found = moved(many[0], rows, many[1])
    assert measures(found["x"]) == {"missing"}
    assert found["x"].value("missing") == pytest.approx(0.18, abs=0.02)
    assert not found["a"].moved  # its truth may be to come


def test_a_constant_that_changes_has_moved_either_way(tmp_path: Path) -> None:
    was = fitted(replaced(small_rows(1_000), "x", np.full(1_000, 5.0)), tmp_path)
    for value in (4.0, 6.0):
        rows = replaced(small_rows(1_000, seed=1), "x", np.full(1_000, value))
        assert "stability" in measures(moved(was, rows, tmp_path)["x"])


def test_a_week_that_is_like_weeks_of_the_train_rows_is_no_drift(tmp_path: Path) -> None:
    def seasons(count: int, first: int) -> Any:
        return np.sin(2 * np.pi * (np.arange(count) + first) / (24 * 90))

    noise = np.random.default_rng(0)
    count = 24 * 360
    was = fitted(
        replaced(small_rows(count), "x", seasons(count, 0) + 0.2 * noise.normal(size=count)),
        tmp_path,
    )
    week = seasons(168, count + 24 * 20) + 0.2 * noise.normal(size=168)
    rows = small_rows(168, seed=1, missing=0.0)
    usual = moved(was, replaced(rows, "x", week), tmp_path)["x"]
    assert (usual.value("distance") or 0) > LIMITS.distance  # it differs from the year
    assert "distance" not in measures(usual)
    assert "distance" in measures(moved(was, replaced(rows, "x", week + 3), tmp_path)["x"])


def test_a_few_rows_tell_nothing(many: tuple[Reference, Path]) -> None:
    assert not [s for s in moved(many[0], small_rows(20, seed=9), many[1]).values() if s.effects]


def test_a_reference_holds_no_rows_and_does_not_grow_with_them(tmp_path: Path) -> None:
    small, large = (fitted(small_rows(n, seed=1), tmp_path) for n in (2_000, 60_000))
    assert len(large.to_json()) < 1.1 * len(small.to_json())
    rows = small_rows(2_000, seed=1)
    names = [f"person {i}" for i in range(2_000)]
    found = fitted(replaced(rows, "id", names), tmp_path)
    assert "person" not in found.to_json()  # a key is no column of it, nor is time
    assert {c["column"] for c in json.loads(found.to_json())["columns"]} == {
        "a", "b", "x", "z", "place", "angle",
    }  # fmt: skip
    assert all(len(c.quantiles) <= 100 and len(c.counts) <= 13 for c in found.columns)


def test_labels_past_the_most_frequent_ones_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.histograms.MOST_LABELS", 10)
    labels = [f"label {i % 40}" for i in range(4_000)]
    was = fitted(replaced(small_rows(4_000), "place", labels), tmp_path)
    [column] = [c for c in was.columns if c.column == "place"]
    assert len(column.labels) == 10
    assert column.other == 3_000
    found = moved(was, replaced(small_rows(4_000, seed=1), "place", labels), tmp_path)["place"]
    assert found.value("new") == pytest.approx(0.0)
    assert not found.moved


def test_hostile_names_of_columns_are_names(tmp_path: Path) -> None:
    hostile = 'x"; DROP TABLE "rows'
    features = {hostile: {"unit": "m"}, "it's": {"kind": "categorical"}}
    targets = {"a": {"unit": "K"}, "b": {"unit": "Pa"}}
    contract = small_contract(features=features, targets=targets)
    rows = replaced(small_rows(500), hostile, np.arange(500.0))
    rows = replaced(rows, "it's", ["o'clock", "no"] * 250)
    was = fitted(rows, tmp_path, contract)
    assert not [s for s in moved(was, rows, tmp_path).values() if s.moved]


def test_false_discoveries_are_bounded_as_benjamini_and_hochberg_do() -> None:
    p = np.array([0.041, 0.001, 0.039, 0.216, 0.008])
    assert discoveries(p) == pytest.approx([0.05125, 0.005, 0.05125, 0.216, 0.02])


def test_of_many_columns_that_stand_hardly_a_run_finds_any() -> None:
    draw = np.random.default_rng(0)

    def column(name: str) -> Histogram:
        counts = tuple(map(int, draw.multinomial(2_000, np.full(10, 0.1))))
        edges = tuple(float(i) for i in range(9))
        return Histogram(name, True, rows=2_000, missing=0, edges=edges, counts=counts)

    tiny = Limits(1e-9, 1e-9, 1e-9, 1e-9, false_discoveries=0.05)
    found = [
        any(s.moved for s in shifts([(column(str(i)), column(str(i))) for i in range(40)], tiny))
        for _ in range(200)
    ]
    assert np.mean(found) < 0.1


def test_two_counts_are_tested_as_pearson_did() -> None:
    before, after = np.array([30.0, 70.0]), np.array([50.0, 50.0])
    assert same(before, after) == pytest.approx(0.00389, rel=0.01)  # chi-squared 8.33, 1 degree
    assert stability(np.array([5e6, 5e6]), np.array([8e6, 2e6])) == pytest.approx(
        0.3 * np.log(1.6) - 0.3 * np.log(0.4), rel=1e-5
    )
