"""Encoders and scalers: fitted on train rows alone, exact in their inverse, told in errors."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.encoders import CategoricalEncoder, CyclicEncoder, NumericEncoder
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.tables import numbers, seconds
from tests.builders import replaced, small_contract, small_rows, small_shards


@given(
    seed=st.integers(0, 1000),
    transform=st.sampled_from(["standard", "robust", "change"]),
    scale=st.floats(1e-6, 1e6),
)
@settings(max_examples=40, deadline=None)
def test_scaling_and_inverting_is_the_identity(seed: int, transform: str, scale: float) -> None:
    target = {"unit": "K", "present": "x", "transform": transform}
    contract = small_contract(targets={"a": target})
    rows = small_rows(seed=seed)
    values = numbers(rows, "a") * scale
    rows = replaced(rows, "a", values)
    fitted = fit_preprocessing(contract, rows)
    scaled = fitted.scale(rows)
    back = fitted.invert(scaled, rows)[:, 0]
    known = ~np.isnan(scaled[:, 0])
    # What was scaled was rounded to float32, and that alone is lost.
    lost = np.finfo(np.float32).eps * np.abs(scaled[:, 0]) * fitted.scalers[0].scale
    assert known.any()
    assert (np.abs(back - values) <= lost + 1e-12 * np.nanmax(np.abs(values) + 10))[known].all()


def test_a_target_is_missing_where_its_cell_or_its_present_value_is() -> None:
    rows = small_rows()
    scaled = fit_preprocessing(small_contract(), rows).scale(rows)
    assert (np.isnan(scaled[:, 0]) == np.isnan(numbers(rows, "a"))).all()
    missing = np.isnan(numbers(rows, "b")) | np.isnan(numbers(rows, "z"))
    assert (np.isnan(scaled[:, 1]) == missing).all()


def test_a_missing_present_value_still_gets_an_answer() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    assert np.isfinite(fitted.invert(np.zeros((len(rows), 2)), rows)).all()


def test_json_brings_back_every_fitted_number() -> None:
    fitted = fit_preprocessing(small_contract(), small_rows())
    assert Preprocessing.from_json(fitted.to_json()) == fitted


def test_inputs_are_finite_and_named_one_by_one() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    inputs = fitted.encode(rows)
    assert inputs.dtype == np.float32
    assert inputs.shape == (len(rows), len(fitted.inputs))
    assert np.isfinite(inputs).all()
    assert len(set(fitted.inputs)) == len(fitted.inputs)


def test_a_cycle_closes() -> None:
    encoder = CyclicEncoder("angle", 360.0, indicator=False)
    ends = encoder.encode(np.array([0.0, 360.0, 720.0]))
    np.testing.assert_allclose(ends, np.tile(ends[:1], (3, 1)), atol=1e-6)


def test_an_unseen_or_missing_label_takes_the_last_slot() -> None:
    encoder = CategoricalEncoder("place", ("here", "there"))
    codes = encoder.encode(np.array(["there", "nowhere", None], dtype=object))
    assert codes.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_a_missing_number_takes_the_median_and_is_marked_where_train_had_any() -> None:
    marked = NumericEncoder("x", fill=5.0, center=1.0, scale=2.0, indicator=True)
    assert marked.encode(np.array([3.0, np.nan])).tolist() == [[1.0, 0.0], [2.0, 1.0]]
    fitted = fit_preprocessing(small_contract(), small_rows(missing=0.0))
    assert not [name for name in fitted.inputs if name.endswith("is missing")]


def test_a_column_that_does_not_vary_is_scaled_by_one_and_told() -> None:
    rows = small_rows(missing=0.0)
    rows = replaced(rows, "x", [7.0] * len(rows))
    fitted = fit_preprocessing(small_contract(), rows)
    assert fitted.constant == ("x",)
    assert np.isfinite(fitted.encode(rows)).all()


def test_columns_that_no_input_needs_are_left_aside() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    more = rows.append_column("other", pa.array(["text"] * len(rows)))
    assert (fitted.encode(more) == fitted.encode(rows)).all()


def test_a_missing_column_is_named() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    with pytest.raises(ValueError, match="need the columns place, angle"):
        fitted.encode(rows.drop_columns(["place", "angle"]))


def test_text_in_a_column_of_numbers_is_named() -> None:
    rows = small_rows().to_pandas()
    fitted = fit_preprocessing(small_contract(), small_rows())
    with pytest.raises(ValueError, match="x: expected numbers, came text such as 'much'"):
        fitted.encode(rows.assign(x=["much"] * len(rows)))


def test_a_column_of_mixed_types_is_named() -> None:
    frame = small_rows().to_pandas()
    fitted = fit_preprocessing(small_contract(), small_rows())
    mixed = pd.Series([1.0, "two", *frame["x"][2:]], dtype=object)
    with pytest.raises(ValueError, match=r"^x: expected"):
        fitted.encode(frame.assign(x=mixed))


def test_pandas_and_arrow_rows_give_the_same_inputs() -> None:
    rows = small_rows()
    fitted = fit_preprocessing(small_contract(), rows)
    assert (fitted.encode(rows.to_pandas()) == fitted.encode(rows)).all()


@pytest.mark.parametrize(
    "moments",
    [
        pa.array(["2024-01-01T12:00:00Z"]),
        pa.array(["2024-01-01 12:00:00"]),
        pa.array([datetime.datetime(2024, 1, 1, 12)]),
        pa.array([datetime.datetime(2024, 1, 1, 12)], pa.timestamp("s", tz="UTC")),
    ],
)
def test_a_moment_reads_alike_as_text_and_with_or_without_a_zone(moments: pa.Array) -> None:
    assert seconds(pa.table({"t": moments}), "t").tolist() == [1704110400.0]


def test_a_date_is_its_first_moment_and_a_missing_one_is_nan() -> None:
    dates = pa.array([datetime.date(2024, 1, 1), None])
    found = seconds(pa.table({"t": dates}), "t")
    assert found[0] == 1704067200.0
    assert np.isnan(found[1])


@given(seed=st.integers(0, 50), factor=st.floats(-1e3, 1e3))
@settings(max_examples=10, deadline=None)
def test_no_fitted_number_depends_on_a_row_outside_train(
    tmp_path_factory: pytest.TempPathFactory, seed: int, factor: float
) -> None:
    contract = small_contract(time=None, key=["id"])
    rows = small_rows(400, seed)
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    small_shards(contract, rows, first)
    splits = pq.read_table(first / "out" / "splits.parquet")["fold_0"].to_pylist()
    outside = np.array([s != "train" for s in splits])
    assert 0 < outside.sum() < len(rows)
    for name in ("x", "z", "angle", "a", "b"):
        values = numbers(rows, name)
        rows = replaced(rows, name, np.where(outside, values * factor + 1, values))
    places = [
        "nowhere" if o else p for o, p in zip(outside, rows["place"].to_pylist(), strict=True)
    ]
    small_shards(contract, replaced(rows, "place", places), second)
    name = "out/fold_0/preprocessing.json"
    assert (first / name).read_bytes() == (second / name).read_bytes()
