"""Missing numbers, scalings and rare labels: as the contract says, and the same when published."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.split import SPLITS
from tasks.evaluate.fold_rows import FoldRows
from tasks.learning.encoders import CategoricalEncoder, NumericEncoder
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import read_shard
from tasks.learning.tables import numbers
from tasks.split_rows import split_rows
from tests.builders import replaced, small_contract, small_rows, small_shards

SCALINGS = ["standard", "robust", "minmax", "quantile", "smooth_clip"]


def fitted(feature: dict[str, Any], rows: pa.Table, column: str = "x") -> Preprocessing:
    contract = small_contract(features={column: feature}, targets={"a": {"unit": "K"}})
    found = fit_preprocessing(contract, rows)
    assert Preprocessing.from_json(found.to_json()) == found
    return found


@pytest.mark.parametrize("scaling", SCALINGS)
def test_each_scaling_is_finite_in_order_and_carried_by_json(scaling: str) -> None:
    rows = small_rows(300)
    values = np.sort(np.random.default_rng(1).standard_cauchy(300))
    values[-1] = np.inf
    found = fitted({"scaling": scaling}, replaced(rows, "x", values)).encode(
        replaced(rows, "x", values)
    )[:-1, 0]
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    if scaling == "minmax":
        assert (found.min(), found.max()) == (0, 1)
    if scaling == "quantile":
        assert np.abs(found).max() < 4
        assert found.std() == pytest.approx(1, abs=0.01)
    if scaling == "smooth_clip":
        assert np.abs(found).max() < 3


def test_smooth_clip_is_robust_scaling_bent() -> None:
    rows = small_rows(300, missing=0.0)
    plain = fitted({"scaling": "robust"}, rows).encode(rows).astype(np.float64)
    bent = fitted({"scaling": "smooth_clip"}, rows).encode(rows)
    np.testing.assert_allclose(bent, plain / np.sqrt(1 + (plain / 3) ** 2), rtol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9])
def test_a_column_of_one_value_is_told_by_every_scaling(scaling: str, value: float) -> None:
    rows = replaced(small_rows(), "x", [value] * 200)
    found = fitted({"scaling": scaling}, rows)
    assert found.constant == ("x",)
    assert np.abs(found.encode(rows)).max() < 1e-6


@pytest.mark.parametrize("impute", ["median", "mean", "constant"])
def test_a_missing_or_infinite_value_takes_what_the_contract_says(impute: str) -> None:
    values = np.random.default_rng(0).lognormal(0, 1, 200)
    values[:3], values[3] = np.nan, -np.inf
    known = values[4:]
    fill = {"median": np.median(known), "mean": known.mean(), "constant": -7.0}[impute]
    feature = {"impute": impute} | ({"fill": -7.0} if impute == "constant" else {})
    found = fitted(feature, replaced(small_rows(), "x", values))
    encoder = found.encoders[0]
    assert isinstance(encoder, NumericEncoder)
    assert encoder.fill == pytest.approx(fill, rel=1e-12)
    encoded = found.encode(replaced(small_rows(), "x", values))
    assert encoded[:5, 1].tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(encoded[:4, 0], (fill - known.mean()) / known.std(), rtol=1e-5)


@pytest.mark.parametrize(
    ("feature", "words"),
    [({"impute": "constant"}, "fill: NUMBER"), ({"fill": 3.0}, "or impute: constant")],
)
def test_a_constant_needs_its_number_and_no_other_way_has_one(
    feature: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        small_contract(features={"x": feature})


def test_forward_fill_needs_a_time() -> None:
    with pytest.raises(ValueError, match="names no time column"):
        small_contract(time=None, features={"x": {"impute": "forward_fill"}})


def test_forward_fill_takes_the_last_value_in_time_of_the_own_group(tmp_path: Path) -> None:
    count = 400
    draw = np.random.default_rng(3)
    values = np.where(draw.random(count) < 0.4, np.nan, draw.normal(size=count))
    values[7] = np.inf
    sites = np.array(["here", "there"])[np.arange(count) % 2]
    rows = replaced(replaced(small_rows(count), "x", values), "site", sites)
    contract = small_contract(
        key=["time", "site"],
        features={"x": {"impute": "forward_fill"}},
        targets={"a": {"unit": "K"}},
        split={"kind": "time"},
    )
    small_shards(contract, rows, tmp_path)
    place = tmp_path / "out" / "fold_0"
    encoder = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8")).encoders[0]
    assert isinstance(encoder, NumericEncoder)
    expected, last = np.empty(count), {"here": encoder.fill, "there": encoder.fill}
    for i, (value, site) in enumerate(zip(values, sites, strict=True)):
        last[site] = value if np.isfinite(value) else last[site]
        expected[i] = last[site]
    found = np.concatenate([read_shard(place / f"{s}.parquet").inputs for s in SPLITS])
    np.testing.assert_allclose(found[:, 0], (expected - encoder.center) / encoder.scale, atol=1e-6)
    np.testing.assert_array_equal(found[:, 1], ~np.isfinite(values))
    # Rows that a model is tested on are filled as those that it learned from.
    test = FoldRows(contract, tmp_path / "rows.parquet", tmp_path / "out" / "splits.parquet", 0)
    fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    tested = np.concatenate([fitted.encode(block) for block in test.blocks(30)])
    np.testing.assert_array_equal(tested, read_shard(place / "test.parquet").inputs)
    held = split_rows(test.rows, test.before.with_name("splits.parquet"), [0], ["calibration"],
                      contract.columns(), True)  # fmt: skip
    calibrated = np.concatenate([fitted.encode(block) for block in held])
    np.testing.assert_array_equal(calibrated, read_shard(place / "calibration.parquet").inputs)
    # A row without those before stands by itself.
    alone = encoder.encode(np.array([np.nan]))[0, 0]
    assert alone == pytest.approx((encoder.fill - encoder.center) / encoder.scale, abs=1e-6)


def test_rare_labels_share_a_slot_and_unseen_ones_another() -> None:
    places = ["here"] * 150 + ["there"] * 40 + ["p", "q"] * 4 + [None] * 2
    found = fitted(
        {"kind": "categorical", "rare": 5}, replaced(small_rows(), "place", places), "place"
    )
    encoder = found.encoders[0]
    assert isinstance(encoder, CategoricalEncoder)
    assert found.inputs == ("place = here", "place = there", "place is rare", "place is other")
    asked = np.array(["there", "p", "q", "nowhere", None], dtype=object)
    assert encoder.encode(asked).argmax(axis=1).tolist() == [1, 2, 2, 3, 3]


def test_scaled_targets_are_missing_where_they_are_infinite() -> None:
    rows = small_rows(missing=0.0)
    values = numbers(rows, "a").copy()
    values[[3, 9]] = np.inf, -np.inf
    contract = small_contract(targets={"a": {"unit": "K"}})
    with_infinite = replaced(rows, "a", values)
    scaled = fit_preprocessing(contract, with_infinite).scale(with_infinite)[:, 0]
    assert np.flatnonzero(~np.isfinite(scaled)).tolist() == [3, 9]
    assert np.isnan(scaled[[3, 9]]).all()
