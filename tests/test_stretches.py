"""Rows by stretches: as many as there are, the same to the bit whoever works on which."""

import json
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.contract import Contract
from data_contracts.split import SPLITS
from tasks import preprocess, spread, stretches
from tasks.learning.column_sums import Draw, Sums, Values
from tasks.learning.errors import Unsuitable
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import read_shard
from tasks.learning.sketch import FEW, KNOTS, carried, whole
from tasks.stretches import DRAWN, sorted_rows
from tests.builders import replaced, small_contract, small_rows, small_shards

ROWS = 3000
ALL = Draw(0, 2**31)
"""All values of a block are sorted."""


@pytest.fixture
def many_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take 3,000 rows for more than memory holds: row groups of 64 rows, stretches of 256."""
    monkeypatch.setattr(preprocess, "EXACT_CELLS", 0)
    monkeypatch.setattr(stretches, "PART_ROWS", 64)
    monkeypatch.setattr(stretches, "STRETCH_ROWS", 256)
    monkeypatch.setattr(stretches, "DRAWN", 1500)
    monkeypatch.setattr(stretches, "KNOTS", 16)
    monkeypatch.setattr("tests.builders.GROUP_ROWS", 128)


def wide_contract(**changes: Any) -> Contract:
    features = {
        "x": {"scaling": "smooth_clip", "impute": "mean"},
        "z": {"scaling": "quantile"},
        "place": {"kind": "categorical"},
        "angle": {"kind": "cyclic", "period": 360},
    }
    targets = {
        "a": {"unit": "K", "transform": "yeo_johnson"},
        "b": {"unit": "Pa", "present": "z", "transform": "change"},
    }
    return small_contract(**{"features": features, "targets": targets} | changes)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file by its path and its bytes."""
    files = sorted(f for f in (folder / "out").rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def written(contract: Contract, rows: Any, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    small_shards(contract, rows, folder)
    return content(folder)


@pytest.mark.usefixtures("many_stretches")
def test_the_same_bits_come_out_however_many_threads_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = small_rows(ROWS)
    found = []
    for threads in (1, 7):
        monkeypatch.setattr(spread, "processors", lambda n=threads: n)
        found.append(written(wide_contract(), rows, tmp_path / str(threads)))
    assert found[0] == found[1]
    assert len([f for f in found[0] if "train.parquet/" in f]) == 12, "a part a stretch"


@pytest.mark.filterwarnings("ignore")  # Ray's own, as it starts
def test_a_ray_cluster_of_two_workers_writes_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its workers see none of what a test has patched: three stretches of the true size.
    monkeypatch.setattr(preprocess, "EXACT_CELLS", 0)
    monkeypatch.setattr(spread, "processors", lambda: 2)
    monkeypatch.setattr("tests.builders.GROUP_ROWS", stretches.PART_ROWS)
    rows = small_rows(2 * stretches.STRETCH_ROWS + 1)
    here = written(wide_contract(), rows, tmp_path / "here")
    monkeypatch.setenv(spread.VARIABLE, "ray")
    monkeypatch.delattr(spread, "_on_threads")
    assert written(wide_contract(), rows, tmp_path / "ray") == here
    assert len([f for f in here if "train.parquet/" in f]) == 3


@pytest.mark.usefixtures("many_stretches")
def test_stretches_fit_what_all_rows_at_once_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "DRAWN", ROWS)
    rows = small_rows(ROWS)
    fitted = []
    for name, cells in (("sums", 0), ("exact", 2**25)):
        monkeypatch.setattr(preprocess, "EXACT_CELLS", cells)
        written(wide_contract(), rows, tmp_path / name)
        text = (tmp_path / name / "out" / "fold_0" / "preprocessing.json").read_text("utf-8")
        fitted.append(Preprocessing.from_json(text))
    np.testing.assert_allclose(fitted[0].encode(rows), fitted[1].encode(rows), atol=0.02)
    np.testing.assert_allclose(fitted[0].scale(rows), fitted[1].scale(rows), atol=0.02)
    assert fitted[0].encoders[2:] == fitted[1].encoders[2:], "labels and cycles are exact"


@pytest.mark.usefixtures("many_stretches")
@pytest.mark.parametrize("split", ["random", "time"])
def test_shards_in_parts_hold_the_rows_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    contract, rows = wide_contract(split={"kind": split}), small_rows(ROWS)
    written(contract, rows, tmp_path / "parts")
    monkeypatch.setattr(stretches, "STRETCH_ROWS", 10**9)
    written(contract, rows, tmp_path / "one")
    for name in SPLITS:
        parts, one = (
            read_shard(tmp_path / place / "out" / "fold_0" / f"{name}.parquet")
            for place in ("parts", "one")
        )
        assert len(parts.weight)
        np.testing.assert_array_equal(parts.inputs, one.inputs)
        np.testing.assert_array_equal(parts.targets, one.targets)


@pytest.mark.usefixtures("many_stretches")
def test_a_value_that_suits_no_transform_is_told_with_its_first_row_and_how_many(
    tmp_path: Path,
) -> None:
    contract = small_contract(targets={"a": {"unit": "K", "transform": "log1p"}})
    rows = small_rows(ROWS, missing=0.0)
    values = np.where(np.arange(ROWS) % 1000 == 700, -2.0, np.abs(rows["a"].to_numpy()))
    with pytest.raises(Unsuitable, match=r"came -2 at _row \d+ \((\d such|the only such)") as told:
        written(contract, replaced(rows, "a", values), tmp_path / "bad")
    assert any(f"_row {i} " in str(told.value) for i in (700, 1700, 2700))


@pytest.mark.parametrize("draw", ["normal", "lognormal", "integers", "sorted"])
@pytest.mark.parametrize("blocks", [1, 5, 37])
def test_a_sketch_is_as_near_as_it_says(draw: str, blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    make = {
        "normal": lambda: rng.normal(1e5, 1, blocks * 5000),
        "lognormal": lambda: rng.lognormal(0, 3, blocks * 5000),
        "integers": lambda: rng.integers(0, 9, blocks * 5000).astype(float),
        "sorted": lambda: np.arange(blocks * 5000.0),
    }
    values = make[draw]()
    sketches = ()
    for block in np.split(values, blocks):
        sketches = carried(sketches, Sums.of(block, ALL).sketches)
    levels = np.linspace(0.01, 0.99, 99)
    found = whole(sketches).quantiles(levels)
    bound = (2 + np.ceil(np.log2(blocks) / 2) + 2) / (2 * KNOTS)
    ordered = np.sort(values)
    least, most = (
        np.searchsorted(ordered, found, side) / values.size for side in ("left", "right")
    )
    assert (levels - bound <= most).all()
    assert (least <= levels + bound).all()


@pytest.mark.parametrize("blocks", [1, 3, 4, 5, 16, 18])
def test_sketches_of_stretches_of_any_number_of_blocks_are_as_near(blocks: int) -> None:
    rng, values, sketches = np.random.default_rng(blocks), [], ()
    for _ in range(90 // blocks):
        own = ()
        for _ in range(blocks):
            values.append(rng.normal(rng.normal(), 1, rng.integers(1, 6000)))
            own = carried(own, Sums.of(values[-1], ALL).sketches)
        sketches = carried(sketches, own)
    levels = [level for level, _ in sketches]
    assert levels == sorted(levels, reverse=True)
    assert all(levels.count(level) < FEW for level in levels)
    wanted = np.linspace(0.01, 0.99, 99)
    ranks = np.searchsorted(np.sort(np.concatenate(values)), whole(sketches).quantiles(wanted))
    bound = (2 + np.ceil(np.log2(len(values)) / 2) + 2) / (2 * KNOTS)
    assert np.abs(ranks / sum(v.size for v in values) - wanted).max() <= bound


def test_sums_hold_nothing_of_the_memory_they_were_made_in() -> None:
    values, room = np.random.default_rng(0).normal(size=50), np.empty(50)
    for draw in (ALL, Draw(0, 20)):
        sums, before = Sums.of(values, draw, room), values.copy()
        Sums.of(np.zeros(50), draw, room)
        assert sums.ends == (values.min(), values.max())
        assert sums == replace(Sums.of(values, draw), sketches=sums.sketches)
        assert sums.quantiles([0.5]) == Sums.of(values, draw).quantiles([0.5])
        np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("known", [1.0, 0.5, 0.01])
def test_quantiles_of_drawn_values_are_as_near_as_they_say(known: float) -> None:
    rng, sums = np.random.default_rng(0), []
    values = np.where(rng.random(400_000) < known, rng.lognormal(0, 2, 400_000), np.nan)
    for block, own in enumerate(np.split(values, 20)):
        sums.append(Sums.of(own, Draw(block, 5000)))
    found = reduce(Sums.merged, sums)
    finite = np.sort(values[np.isfinite(values)])
    drawn = min(finite.size, 20 * 5000)
    levels = np.linspace(0.01, 0.99, 99)
    ranks = np.searchsorted(finite, found.quantiles(levels.tolist())) / finite.size
    bound = np.sqrt(np.log(2e6) / (2 * drawn)) + (2 + 3 + 2) / (2 * KNOTS)
    assert np.abs(ranks - levels).max() <= bound
    assert found.known == finite.size
    assert found.mean == pytest.approx(finite.mean(), rel=1e-12)


def test_of_many_rows_the_number_sorted_is_the_same_for_twice_as_many() -> None:
    def of_all(rows: int) -> float:
        return rows / 65_536 * sorted_rows(65_536, DRAWN / rows)

    assert of_all(2**20) == 2**20
    assert of_all(2**23) == of_all(2**24) == DRAWN


def test_sums_are_those_of_the_values_and_infinite_ones_are_counted_apart() -> None:
    values = np.random.default_rng(0).normal(1e6, 1e-3, 4000)
    values[::7], values[::501] = np.nan, np.inf
    exact, sums = Values(values), Sums.of(values[:1000], ALL)
    for start in (1000, 2000, 3000):
        sums = sums.merged(Sums.of(values[start : start + 1000], ALL))
    assert (sums.rows, sums.known, sums.infinite) == (exact.rows, exact.known, exact.infinite)
    assert sums.infinite == 8
    assert sums.ends == exact.ends
    assert sums.mean == pytest.approx(exact.mean, rel=1e-15)
    assert sums.deviation == pytest.approx(exact.deviation, rel=1e-9)
    assert Sums.of(np.full(9, np.nan), ALL).merged(sums).mean == sums.mean


def test_infinite_values_count_as_missing_and_are_reported(tmp_path: Path) -> None:
    rows = small_rows(400, missing=0.0)
    values = rows["x"].to_numpy().copy()
    values[::10] = np.inf
    record = small_shards(small_contract(), replaced(rows, "x", values), tmp_path)
    fold = record.folds[0]
    assert 0 < fold.infinite["x"] <= 40
    assert f"infinite values in x ({fold.infinite['x']})" in record.summary
    shard = read_shard(tmp_path / "out" / "fold_0" / "train.parquet")
    assert np.isfinite(shard.inputs).all()
    assert shard.inputs[:, 1].sum() == fold.infinite["x"], "marked as missing"
    fitted = json.loads((tmp_path / "out" / "fold_0" / "preprocessing.json").read_text("utf-8"))
    assert fitted["encoders"][0]["indicator"] is True


def test_a_column_without_variance_is_told_in_the_summary(tmp_path: Path) -> None:
    rows = replaced(small_rows(400), "z", [4.0] * 400)
    contract = small_contract(targets={"a": {"unit": "K"}})
    assert "no variance in z" in small_shards(contract, rows, tmp_path).summary
