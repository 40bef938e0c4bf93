"""Encoders by themselves: what a value becomes, whatever its unit and whatever its batch."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.learning.encoders import PARTS, CategoricalEncoder, NumericEncoder, TimestampEncoder
from tasks.learning.fit_preprocessing import fit_preprocessing
from tests.builders import replaced, small_contract, small_rows

HOUR, DAY = 3600.0, 86400.0


def cosine(part: str, *moments: float) -> Sequence[float]:
    """Return the cosine of a part of the calendar, 1 where its cycle starts."""
    found = TimestampEncoder("t", (part,)).encode(np.array(moments))
    return [round(float(v), 5) for v in found[:, 1]]


def test_a_day_starts_at_midnight_and_turns_at_noon() -> None:
    assert cosine("hour_of_day", 0, 12 * HOUR, DAY, -DAY) == [1, -1, 1, 1]


def test_a_week_starts_on_monday() -> None:
    # 1970-01-05 was the first Monday since 1970-01-01.
    assert cosine("day_of_week", 4 * DAY, 11 * DAY, 4 * DAY + 3.5 * DAY) == [1, 1, -1]


def test_a_year_starts_in_january() -> None:
    moments = np.array(["2024-01-01", "2000-01-01", "2023-07-02T12"], "datetime64[s]")
    first, second, middle = cosine("day_of_year", *moments.astype(float))
    assert min(first, second, -middle) > 0.999


@given(st.floats(-1e11, 1e11), st.sampled_from(sorted(PARTS)))
def test_a_moment_lies_on_the_circle(moment: float, part: str) -> None:
    found = TimestampEncoder("t", (part,)).encode(np.array([moment]))
    assert np.hypot(*found[0]) == pytest.approx(1, abs=1e-6)


def test_a_missing_moment_is_the_circles_centre() -> None:
    found = TimestampEncoder("t", ("hour_of_day", "day_of_year")).encode(np.array([np.nan]))
    assert found.tolist() == [[0, 0, 0, 0]]


def test_a_missing_number_without_an_indicator_is_the_median_alone() -> None:
    encoder = NumericEncoder("x", fill=5.0, center=1.0, scale=2.0, indicator=False)
    assert encoder.encode(np.array([np.nan])).tolist() == [[2.0]]


@given(
    power=st.integers(-60, 60),
    method=st.sampled_from(["standard", "robust"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_a_columns_unit_changes_none_of_its_inputs(power: int, method: str, seed: int) -> None:
    # Tendencies of trace gases are as small as 1e-14 kg/kg/s, and no less real for it.
    contract = small_contract(features={"x": {"scaling": method}}, targets={"a": {"unit": "K"}})
    rows = small_rows(seed=seed)
    other = rows
    for name in ("x", "a"):
        values = rows[name].to_numpy() * 2.0**power
        other = replaced(other, name, values)
    plain, moved = (fit_preprocessing(contract, r) for r in (rows, other))
    np.testing.assert_array_equal(plain.encode(rows), moved.encode(other))
    np.testing.assert_array_equal(plain.scale(rows), moved.scale(other))
    assert moved.constant == ()


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_a_column_whose_scale_happens_to_be_one_does_vary(scaling: str) -> None:
    # Deviation and quartile range of these are 1 exactly.
    values = np.where(np.arange(200) % 2 == 0, 3.0, 5.0 if scaling == "standard" else 4.0)
    contract = small_contract(features={"x": {"scaling": scaling}})
    fitted = fit_preprocessing(contract, replaced(small_rows(), "x", values))
    encoder = fitted.encoders[0]
    assert isinstance(encoder, NumericEncoder)
    assert encoder.scale == 1
    assert "x" not in fitted.constant


@given(st.floats(-1e9, 1e9), st.integers(2, 50))
def test_a_column_of_one_value_is_constant_whatever_the_value(value: float, count: int) -> None:
    rows = replaced(small_rows(count, missing=0.0), "x", [value] * count)
    fitted = fit_preprocessing(small_contract(targets={"b": {"unit": "Pa"}}), rows)
    assert fitted.constant == ("x",)
    assert fitted.encode(rows)[:, 0].tolist() == pytest.approx([0] * count, abs=1e-6)


def test_a_column_that_train_never_saw_is_nought() -> None:
    rows = replaced(small_rows(), "x", [None] * 200)
    contract = small_contract(targets={"b": {"unit": "Pa"}})
    fitted = fit_preprocessing(contract, rows)
    assert "x" in fitted.constant
    assert set(fitted.encode(rows)[:, 0]) == {0}


def test_a_change_that_never_varies_is_constant_though_its_target_does() -> None:
    rows = small_rows(missing=0.0)
    rows = replaced(rows, "b", rows["z"].to_numpy())
    assert fit_preprocessing(small_contract(), rows).constant == ("b",)


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_inputs_of_labels_have_names_of_their_own(labels: list[str]) -> None:
    encoder = CategoricalEncoder("place", (*labels, "other"))
    assert len(set(encoder.inputs)) == len(set(labels)) + 1 + ("other" not in labels)
