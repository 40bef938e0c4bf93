"""Slices of rows: learned from train rows, and named worse only where that is sure."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.slice_sums import SliceErrors, SliceSums, worst
from tasks.learning.slices import Slicer
from tests.builders import replaced, small_contract, small_rows
from tests.streaming import assert_alike, batches

LABELS = {"place": ("here", "there"), "half": ("first", "second")}
MODELS = ("candidate", "mean")


def test_each_feature_and_the_calendar_divide_the_rows() -> None:
    slicer = Slicer.fit(small_contract(), small_rows(500))
    assert list(slicer.labels) == ["missing", "hour", "season", "x", "z", "place", "angle"]
    rows = small_rows(300, seed=1)
    for name, codes in slicer.assign(rows).items():
        assert codes.shape == (300,)
        assert codes.max() < len(slicer.labels[name])
        assert codes.min() >= 0


def named(slicer: Slicer, rows: pa.Table, dimension: str) -> list[str]:
    labels = slicer.labels[dimension]
    return [labels[c] if c >= 0 else "" for c in slicer.assign(rows)[dimension]]


def test_numbers_fall_into_the_quarters_of_the_train_rows() -> None:
    train = replaced(small_rows(400), "x", np.arange(400.0))
    slicer = Slicer.fit(small_contract(), train)
    test = replaced(small_rows(6), "x", [-5.0, 99.0, 100.0, 250.0, 1e9, np.nan])
    expected = ["quarter 1", "quarter 1", "quarter 2", "quarter 3", "quarter 4", "missing"]
    assert named(slicer, test, "x") == expected


def test_rare_and_unknown_labels_are_other_and_constant_columns_no_slice() -> None:
    places = ["here"] * 150 + ["there"] * 49 + ["nowhere"]
    train = replaced(replaced(small_rows(200), "place", places), "z", np.ones(200))
    slicer = Slicer.fit(small_contract(), train)
    assert slicer.labels["place"] == ("here", "there", "other", "missing")
    assert "z" not in slicer.labels
    test = replaced(small_rows(4), "place", ["there", "nowhere", "Mars", None])
    assert named(slicer, test, "place") == ["there", "other", "other", "missing"]


def test_of_many_labels_the_twenty_most_frequent_are_slices() -> None:
    places = [f"p{i:02d}" for i in range(40) for _ in range(40 - i)]
    train = replaced(small_rows(len(places)), "place", places)
    labels = Slicer.fit(small_contract(), train).labels["place"]
    assert labels == (*(f"p{i:02d}" for i in range(20)), "other", "missing")


def test_hours_and_seasons_are_those_of_the_moment_in_utc() -> None:
    slicer = Slicer.fit(small_contract(), small_rows())
    times = ["2024-01-01T00", "2024-02-29T05:59", "2024-03-01T06", "2024-08-31T17", "2024-11-30T23"]
    moments = np.array([*times, "NaT"], "datetime64[us]")
    rows = replaced(small_rows(6), "time", moments)
    hours = ["00-06", "00-06", "06-12", "12-18", "18-24", ""]
    assert named(slicer, rows, "hour") == hours
    seasons = ["winter", "winter", "spring", "summer", "autumn", ""]
    assert named(slicer, rows, "season") == seasons


def test_days_have_a_season_but_no_hour_and_numbers_no_calendar() -> None:
    rows, days = small_rows(50), np.arange(50).astype("datetime64[D]")
    features = {"x": {}, "hour": {}}
    contract = small_contract(features=features, targets={"a": {"unit": "K"}})
    rows = rows.append_column("hour", pa.array(np.arange(50.0)))
    assert list(Slicer.fit(contract, replaced(rows, "time", days)).labels) == [
        "missing", "season", "x", "hour",
    ]  # fmt: skip
    assert list(Slicer.fit(contract, replaced(rows, "time", np.arange(50))).labels) == [
        "missing", "x", "hour",
    ]  # fmt: skip
    assert "hour of time" in Slicer.fit(contract, rows).labels


def test_rows_with_any_missing_feature_are_told_apart() -> None:
    slicer = Slicer.fit(small_contract(), small_rows())
    rows = replaced(small_rows(3, missing=0.0), "place", ["here", None, "there"])
    rows = replaced(rows, "x", [1.0, 2.0, np.nan])
    assert named(slicer, rows, "missing") == ["none", "some", "some"]


def test_wide_vectors_do_not_crowd_out_other_features() -> None:
    features = {f"v{k}[60]": {} for k in range(9)} | {"x": {}}
    contract = small_contract(features=features, targets={"a": {"unit": "K"}})
    draw = np.random.default_rng(0)
    vectors = {f"v{k}_{i}": draw.normal(size=50) for k in range(9) for i in range(60)}
    rows = small_rows(50)
    for name, values in vectors.items():
        rows = rows.append_column(name, pa.array(values))
    names = list(Slicer.fit(contract, rows).labels)
    assert len(names) == 40
    assert [n for n in names if n.startswith("v0")] == [f"v0_{i}" for i in range(5)]


def test_a_slicer_is_the_same_when_it_is_read_from_json() -> None:
    slicer = Slicer.fit(small_contract(), small_rows())
    assert Slicer.from_json(json.loads(json.dumps(slicer.to_json()))) == slicer


def cells(seed: int, rows: int = 400, worse: float = 1.0) -> dict[str, np.ndarray]:
    """Rows whose candidate errs `worse` times as much in place `there`, a quarter of them."""
    draw = np.random.default_rng(seed)
    place = (draw.random(rows) < 0.25).astype(int)
    place[0] = -1
    truth, gap = draw.normal(size=(2, rows, 2))
    gap[place == 1, 0] *= worse
    truth[draw.random(truth.shape) < 0.1] = np.nan
    return {
        "place": place,
        "half": draw.integers(0, 2, rows),
        "block": np.arange(rows),
        "truth": truth,
        "candidate": truth + gap,
        "mean": np.where(draw.random(truth.shape) < 0.1, np.nan, 0.0),
        "weight": np.where(draw.random(rows) < 0.1, 0.0, draw.uniform(0.5, 1.5, rows)),
    }


def summed(data: dict[str, np.ndarray], *parts: np.ndarray) -> SliceSums:
    sums = SliceSums(LABELS, ("a", "b"), MODELS, len(data["block"]))
    for rows in parts or (np.arange(len(data["block"])),):
        own = {name: values[rows] for name, values in data.items()}
        answers = {m: own[m] for m in MODELS}
        sums.add(own, own["block"], own["truth"], answers, own["weight"])
    return sums


def of(found: list[SliceErrors], name: str, target: str) -> SliceErrors:
    return next(s for s in found if (s.slice, s.target) == (name, target))


def test_errors_of_a_slice_are_those_of_its_rows() -> None:
    data = cells(0, worse=2.0)
    found = of(summed(data).errors(), "place=there", "a")
    weight, gap = data["weight"], (data["candidate"] - data["truth"])[:, 0]
    seen = ~np.isnan(gap) & (weight > 0)
    own = seen & (data["place"] == 1)
    rmse = np.average(gap[own] ** 2, weights=weight[own]) ** 0.5
    assert found.rows == own.sum()
    assert found.rmse == pytest.approx(rmse)
    assert found.mae == pytest.approx(np.average(np.abs(gap[own]), weights=weight[own]))
    whole = np.average(gap[seen] ** 2, weights=weight[seen]) ** 0.5
    assert found.ratio == pytest.approx(rmse / whole)
    other = (data["mean"] - data["truth"])[:, 0]
    kept = (data["place"] == 1) & ~np.isnan(other) & (weight > 0)
    assert found.others["mean"] == pytest.approx(
        np.average(other[kept] ** 2, weights=weight[kept]) ** 0.5
    )
    assert found.others_mae["mean"] == pytest.approx(
        np.average(np.abs(other[kept]), weights=weight[kept])
    )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_batches_in_any_order_add_up_to_the_whole(seed: int) -> None:
    data = cells(seed, worse=1.5)
    merged = SliceSums(LABELS, ("a", "b"), MODELS, 400)
    parts = list(batches(400, seed))
    for rows in parts:
        merged.merge(summed(data, rows))
    whole = summed(data).errors()
    for sums in (summed(data, *parts), merged):
        for found, expected in zip(sums.errors(), whole, strict=True):
            assert_alike(found, expected)


def test_a_slice_that_is_worse_is_named_and_the_others_are_not() -> None:
    found = worst(summed(cells(1, rows=2_000, worse=1.6)).errors())
    assert [(s.slice, s.target) for s in found] == [("place=there", "a")]
    assert 1 < found[0].low < found[0].ratio


def test_a_slice_of_all_rows_and_one_of_none_are_no_slices() -> None:
    data = cells(2)
    data["half"][:], data["place"][:] = 0, np.arange(400) % 2
    assert {s.slice for s in summed(data).errors()} == {"place=here", "place=there"}


def test_few_rows_are_never_named() -> None:
    data = cells(3, rows=2_000)
    data["place"] = (np.arange(2_000) % 80 == 0).astype(int)
    data["candidate"][data["place"] == 1] += 50.0
    assert of(summed(data).errors(), "place=there", "a").low == 0.0


def test_equal_slices_are_seldom_named_even_of_rows_that_err_alike() -> None:
    """Blocks of 20 rows share an error and lie in one half or the other: as if 100 rows."""
    named_in = 0
    for seed in range(60):
        data, draw = cells(seed, rows=2_000), np.random.default_rng(seed)
        block = np.arange(2_000) // 20
        data["half"] = draw.integers(0, 2, 100)[block]
        data["candidate"] = data["truth"] + draw.normal(size=(100, 2))[block]
        data["block"] = block * 20
        named_in += bool(worst(summed(data).errors()))
    assert named_in <= 9
