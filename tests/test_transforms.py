"""Transforms of targets: exact in their inverse, finite everywhere, and what their papers say."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.learning.encoders import TargetScaler
from tasks.learning.errors import Unsuitable
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.fit_transforms import fit_transform
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.transforms import Log1p, Quantile, YeoJohnson, from_plain, to_plain
from tests.builders import replaced, small_contract, small_rows, small_shards

BENT = ["log1p", "yeo_johnson", "quantile"]
TRAIN = {
    "normal": lambda d: d.normal(3, 2, 500),
    "skewed": lambda d: d.lognormal(0, 2, 500),
    "heavy": lambda d: d.standard_t(1.5, 500) * 1e3,
    "mostly nothing": lambda d: np.where(d.random(500) < 0.7, 0.0, d.exponential(5, 500)),
    "tiny": lambda d: d.gamma(0.5, 1e-14, 500),
    "far from nothing": lambda d: d.normal(1e5, 1, 500),
    "all below nothing": lambda d: -d.lognormal(0, 1, 500),
    "few": lambda d: d.normal(0, 1, 3),
    "many": lambda d: d.exponential(1, 20_000),
}


def train(name: str, seed: int, method: str = "") -> np.ndarray:
    """Return train values, for log1p away from -1 and below."""
    values = TRAIN[name](np.random.default_rng(seed))
    return np.abs(values) if method == "log1p" else values


@given(
    name=st.sampled_from(sorted(TRAIN)),
    seed=st.integers(0, 99),
    method=st.sampled_from(BENT),
    place=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_a_transform_takes_back_every_value_of_the_train_range(
    name: str, seed: int, method: str, place: list[float]
) -> None:
    values = train(name, seed, method)
    fitted = fit_transform(method, values)
    assert fitted is not None
    least, greatest = values.min(), values.max()
    asked = np.concatenate([values, least + (greatest - least) * np.array(place)])
    back = fitted.inverse(fitted.forward(asked))
    # A place among quantiles is as exact as the range between them; a power, as the value.
    size = np.abs(asked) if method != "quantile" else np.abs(asked).max()
    assert (np.abs(back - asked) <= 1e-9 * size).all()


@given(
    name=st.sampled_from(sorted(TRAIN)),
    seed=st.integers(0, 99),
    method=st.sampled_from(BENT),
    far=st.floats(-1e6, 1e6),
)
@example(name="few", seed=81, method="quantile", far=8.68585495772175e-153)
@settings(max_examples=150, deadline=None)
def test_far_outside_the_train_range_values_are_finite_and_in_order(
    name: str, seed: int, method: str, far: float
) -> None:
    fitted = fit_transform(method, train(name, seed, method))
    assert fitted is not None
    asked = np.sort([-far, 0.0, far, -1e12, 1e12, far / 1e6])
    for way in (fitted.forward, fitted.inverse):
        found = way(asked)
        assert np.isfinite(found).all()
        assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("method", ["yeo_johnson", "quantile"])
@pytest.mark.parametrize("name", sorted(TRAIN))
def test_powers_and_quantiles_take_back_values_far_outside_too(method: str, name: str) -> None:
    values = train(name, 0)
    fitted = fit_transform(method, values)
    assert fitted is not None
    span = values.max() - values.min()
    asked = np.array([values.min() - 100 * span, values.max() + 100 * span])
    np.testing.assert_allclose(fitted.inverse(fitted.forward(asked)), asked, rtol=1e-6)


@pytest.mark.parametrize("method", BENT)
def test_a_missing_value_stays_missing_and_the_shape_stays(method: str) -> None:
    values = train("skewed", 0)
    fitted = fit_transform(method, np.append(values, np.nan))
    assert fitted == fit_transform(method, values)
    assert fitted is not None
    asked = np.array([[1.0, np.nan, 2.0], [np.nan, 0.5, 1.0]])
    for found in (fitted.forward(asked), fitted.inverse(asked)):
        assert found.shape == asked.shape
        assert (np.isnan(found) == np.isnan(asked)).all()


@pytest.mark.parametrize("power", [-1.5, -1e-9, 0.0, 0.5, 1.0, 2.0, 2.0 + 1e-9, 3.5])
def test_a_power_transform_is_the_one_of_its_paper(power: float) -> None:
    values = np.linspace(-4, 9, 101)
    fitted = YeoJohnson(power, unit=1.0, least=-4.0, greatest=9.0)
    expected = stats.yeojohnson(values, lmbda=power)
    np.testing.assert_allclose(fitted.forward(values), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["normal", "tiny", "heavy", "mostly nothing", "many"])
def test_a_fitted_power_is_the_most_likely(name: str) -> None:
    values = train(name, 1)
    fitted = fit_transform("yeo_johnson", values)
    assert isinstance(fitted, YeoJohnson)
    expected = stats.yeojohnson_normmax(values / fitted.unit)
    # Of more than 10,000 values, quantiles stand for all.
    assert fitted.power == pytest.approx(expected, abs=1e-3 if name == "many" else 1e-5)


def test_a_power_stops_before_the_greatest_train_values_run_together() -> None:
    values = train("skewed", 1)
    fitted = fit_transform("yeo_johnson", values)
    assert isinstance(fitted, YeoJohnson)
    assert stats.yeojohnson_normmax(values / fitted.unit) < fitted.power
    assert (1 + values.max() / fitted.unit) ** fitted.power == pytest.approx(1e-3)


@given(power=st.integers(-60, 60), name=st.sampled_from(sorted(TRAIN)))
@settings(max_examples=20, deadline=None)
def test_a_power_does_not_depend_on_the_unit(power: int, name: str) -> None:
    values = train(name, 2)
    plain, other = (fit_transform("yeo_johnson", v) for v in (values, values * 2.0**power))
    assert isinstance(plain, YeoJohnson)
    assert isinstance(other, YeoJohnson)
    assert other.power == plain.power
    np.testing.assert_array_equal(plain.forward(values), other.forward(values * 2.0**power))


def test_a_logarithm_is_of_one_more_than_the_value() -> None:
    values = np.array([-0.5, 0.0, 1.0, 1e-12, 1e9])
    np.testing.assert_array_equal(Log1p().forward(values), np.log1p(values))
    assert np.isfinite(Log1p().forward(np.array([-1.0, -7.0]))).all()
    assert (Log1p().inverse(np.array([-50.0, -1e9])) >= -1).all()


def test_quantiles_make_train_values_normal_whatever_they_were() -> None:
    values = train("heavy", 0)
    fitted = fit_transform("quantile", values)
    assert fitted is not None
    normal = fitted.forward(values)
    assert stats.kstest(normal, "norm").statistic < 2 / len(values)
    assert fitted.inverse(np.sort(normal)) == pytest.approx(np.sort(values), rel=1e-12)


def test_ties_are_one_knot_at_their_middle() -> None:
    fitted = fit_transform("quantile", np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0]))
    assert isinstance(fitted, Quantile)
    assert fitted.values == (0.0, 1.0, 2.0)
    np.testing.assert_allclose(fitted.normal, stats.norm.ppf([4 / 12, 9 / 12, 11 / 12]))


def test_a_quantile_transform_holds_a_thousand_knots_at_most() -> None:
    fitted = fit_transform("quantile", train("many", 0))
    assert isinstance(fitted, Quantile)
    assert len(fitted.values) == len(fitted.normal) == 1000


@pytest.mark.parametrize("method", BENT)
@pytest.mark.parametrize("values", [[], [np.nan], [7.0], [7.0, 7.0, np.nan], [0.0]])
def test_train_values_that_do_not_vary_still_have_a_transform(
    method: str, values: list[float]
) -> None:
    fitted = fit_transform(method, np.array(values, dtype=float))
    assert fitted is not None
    asked = np.array([7.0, 9.0])
    np.testing.assert_allclose(fitted.inverse(fitted.forward(asked)), asked)


@pytest.mark.parametrize("method", BENT)
def test_json_brings_back_a_transform_bit_for_bit(method: str) -> None:
    fitted = fit_transform(method, train("skewed", 3))
    assert from_plain(json.loads(json.dumps(to_plain(fitted)))) == fitted
    assert from_plain(to_plain(None)) is None


def bent_contract(method: str, **target: Any) -> Any:
    """Return a contract of the target `a` with a transform, and `b` as it always is."""
    return small_contract(
        targets={
            "a": {"unit": "K", "transform": method, **target},
            "b": {"unit": "Pa", "present": "z", "transform": "change"},
        }
    )


def bent_rows() -> Any:
    rows = small_rows()
    return replaced(rows, "a", np.exp(rows["a"].to_numpy() / 5))


@pytest.mark.parametrize("method", ["standard", "robust", "none", *BENT])
def test_scaled_targets_come_back_in_units_alone_and_as_draws(method: str) -> None:
    rows = bent_rows()
    fitted = fit_preprocessing(bent_contract(method), rows)
    scaled = fitted.scale(rows)
    known = ~np.isnan(scaled).any(axis=1)
    raw = np.stack([rows[c].to_numpy() for c in ("a", "b")], axis=1)
    back = fitted.invert(scaled, rows)
    np.testing.assert_allclose(back[known], raw[known], rtol=1e-4, atol=1e-5)
    draws = np.stack([scaled, scaled + 1, scaled - 50], axis=1)
    found = fitted.invert(draws, rows)
    assert found.shape == (200, 3, 2)
    for i in range(3):
        np.testing.assert_array_equal(found[:, i], fitted.invert(draws[:, i], rows))


@pytest.mark.parametrize("method", BENT)
def test_what_is_learned_of_a_bent_target_has_mean_0_and_deviation_1(method: str) -> None:
    scaled = fit_preprocessing(bent_contract(method), bent_rows()).scale(bent_rows())[:, 0]
    assert np.nanmean(scaled) == pytest.approx(0, abs=1e-5)
    assert np.nanstd(scaled) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("method", BENT)
def test_preprocessing_with_transforms_travels_as_json(method: str) -> None:
    fitted = fit_preprocessing(bent_contract(method), bent_rows())
    assert Preprocessing.from_json(fitted.to_json()) == fitted


def test_none_learns_values_as_the_source_has_scaled_them() -> None:
    rows = bent_rows()
    fitted = fit_preprocessing(bent_contract("none"), rows)
    values = rows["a"].to_numpy()
    np.testing.assert_array_equal(fitted.scale(rows)[:, 0], values.astype(np.float32))
    scaler = fitted.scalers[0]
    assert (scaler.center, scaler.scale, scaler.affine) == (0.0, 1.0, True)
    assert scaler.mean == pytest.approx(np.nanmean(values))
    assert not scaler.constant
    still = replaced(rows, "a", np.full(len(rows), 7.0))
    assert fit_preprocessing(bent_contract("none"), still).scalers[0].constant


def test_only_a_straight_line_is_affine() -> None:
    rows = bent_rows()
    assert fit_preprocessing(bent_contract("robust"), rows).affine
    fitted = fit_preprocessing(bent_contract("log1p"), rows)
    assert not fitted.affine
    assert [s.affine for s in fitted.scalers] == [False, True]


@pytest.mark.parametrize("method", ["standard", "robust", "none", *BENT])
def test_a_scaled_limit_is_where_the_limit_in_units_lies(method: str) -> None:
    scaler = fit_preprocessing(bent_contract(method), bent_rows()).scalers[0]
    for limit in (0.0, 0.5, 30.0):
        back = scaler.invert(np.array([scaler.scaled_limit(limit)]))
        assert back[0] == pytest.approx(limit, abs=1e-9)


def test_a_scaled_limit_leaves_the_present_value_aside() -> None:
    scaler = TargetScaler("b", "Pa", center=1.0, scale=2.0, mean=0.0, present="z")
    assert scaler.scaled_limit(5.0) == 2.0


UNSUITABLE = [
    ({"output": "softplus"}, -3.0, "output: softplus needs values of 0 or more, came -3 at"),
    ({"output": "relu"}, -1e-9, "output: relu needs values of 0 or more, came -1e-09 at"),
    ({"output": "exp"}, 0.0, "output: exp needs values above 0, came 0 at"),
    ({"output": "sigmoid", "bounds": [0, 99]}, 99.5, "needs values from 0 to 99, came 99.5 at"),
    ({"transform": "log1p"}, -1.0, "transform: log1p needs values above -1, came -1 at"),
]


@pytest.mark.parametrize(("target", "value", "said"), UNSUITABLE)
def test_train_values_that_do_not_suit_a_target_are_told(
    target: dict[str, Any], value: float, said: str
) -> None:
    rows = small_rows(missing=0.0)
    values = np.full(200, 50.0)
    contract = small_contract(targets={"a": {"unit": "K", **target}})
    fit_preprocessing(contract, replaced(rows, "a", values))
    values[[41, 97]] = value
    numbered = replaced(rows, "_row", np.arange(200) + 1000)
    with pytest.raises(Unsuitable) as caught:
        fit_preprocessing(contract, replaced(numbered, "a", values))
    text = str(caught.value)
    assert text.startswith("a: ")
    assert f"{said} _row 1041 (2 such train rows): mend those rows" in text
    without = replaced(rows, "a", values).drop_columns(["_row"])
    with pytest.raises(Unsuitable, match="at row 41 of the train rows"):
        fit_preprocessing(contract, without)


def shares_contract() -> Any:
    share = {"unit": "%", "output": "softmax", "group": "soil"}
    return small_contract(
        targets={"a": share, "b": share, "x": share},
        features={"z": {}},
        target_groups={"soil": {"whole": 100}},
    )


def shares_rows() -> Any:
    """Return rows of three shares of 100, one of them missing in a row."""
    rows = small_rows(missing=0.0)
    shares = np.random.default_rng(0).dirichlet([1, 2, 3], 200) * 100
    shares[7, 1] = np.nan
    for name, values in zip(("a", "b", "x"), shares.T, strict=True):
        rows = replaced(rows, name, values)
    return rows


def test_shares_that_add_up_suit_a_softmax_also_beside_missing_ones() -> None:
    assert fit_preprocessing(shares_contract(), shares_rows()).targets == ("a", "b", "x")


def test_shares_that_do_not_add_up_to_the_whole_are_told() -> None:
    values = shares_rows()["a"].to_numpy().copy()
    values[20] += 1e-3
    said = r"soil: output: softmax needs shares that add up to 100 \(a \+ b \+ x\), came 100\.001"
    with pytest.raises(Unsuitable, match=rf"{said} at _row 20 \(the only such train row\)"):
        fit_preprocessing(shares_contract(), replaced(shares_rows(), "a", values))


def test_a_share_below_nothing_is_told_though_all_add_up() -> None:
    rows = shares_rows()
    shifted = {"a": -200.0, "b": 200.0}
    for name, shift in shifted.items():
        values = rows[name].to_numpy().copy()
        values[20] += shift
        rows = replaced(rows, name, values)
    with pytest.raises(Unsuitable, match=r"^a: output: softmax needs shares of 0 or more"):
        fit_preprocessing(shares_contract(), rows)


def test_all_unsuitable_targets_are_told_at_once() -> None:
    targets = {c: {"unit": "K", "output": "relu"} for c in ("a", "b")}
    rows = replaced(replaced(small_rows(), "a", [-1.0] * 200), "b", [-2.0] * 200)
    with pytest.raises(Unsuitable) as caught:
        fit_preprocessing(small_contract(targets=targets), rows)
    assert [line[:2] for line in str(caught.value).splitlines()] == ["a:", "b:"]


def test_shards_of_unsuitable_rows_end_in_that_error_with_the_row_in_the_snapshot(
    tmp_path: Any,
) -> None:
    from flows.explain import DATA, explain

    contract = small_contract(targets={"a": {"unit": "K", "output": "exp"}})
    values = np.full(200, 50.0)
    values[100:] = 0.0
    with pytest.raises(Unsuitable, match=r"came 0 at _row 1\d\d \(\d+ such train rows\)") as caught:
        small_shards(contract, replaced(small_rows(), "a", values), tmp_path)
    assert explain(caught.value) == (str(caught.value), DATA)


def test_shards_are_made_anew_when_what_train_rows_must_suit_has_changed() -> None:
    from tasks.preprocess import STAGE

    def place(bounds: list[float], output: str, whole: float) -> str:
        share = {"unit": "%", "output": "softmax", "group": "soil"}
        targets = {"a": share, "b": share, "x": {"unit": "K", "bounds": bounds, "output": output}}
        groups = {"soil": {"whole": whole}}
        contract = small_contract(targets=targets, features={"z": {}}, target_groups=groups)
        return STAGE.place(contract, "checked")

    wide, narrow = [0.0, 9.0], [0.0, 5.0]
    assert place(wide, "linear", 1.0) == place(narrow, "linear", 1.0)
    different = [(wide, "linear", 1.0), (wide, "sigmoid", 1.0), (narrow, "sigmoid", 1.0),
                 (wide, "linear", 2.0)]  # fmt: skip
    assert len({place(*d) for d in different}) == 4
