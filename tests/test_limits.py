"""Limits: what predictions hold afterwards, how little they change, and what is counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

from data_contracts.contract import Contract
from tasks.counting import BrokenSums
from tasks.judge import judge_scores, verdict_markdown
from tasks.learning.bundle import INNER_DRAWS, load_bundle, save_bundle
from tasks.learning.fitting import fit
from tasks.learning.limits import LEAST_POSITIVE, Limits, limits_of
from tasks.learning.predictions import Predictions
from tasks.learning.projection import nearest, simplex
from tasks.learning.relations import Count, Relation
from tasks.learning.tables import numbers
from tasks.records import ConstraintCount, Score, Scores
from tests.builders import CANDIDATE, small_contract, small_rows

NONE = pa.table({"_row": []})
FREE = (None, None, None)


def rows(count: int, **columns: Any) -> pa.Table:
    return pa.table({"_row": list(range(count))} | columns)


def relation(words: str, constant: float = 0.0, equal: bool = False, **terms: float) -> Relation:
    """Return a relation over targets t0, t1, … and features of other names."""
    targets = tuple((int(c[1:]), v) for c, v in terms.items() if c[0] == "t")
    features = tuple((c, v) for c, v in terms.items() if c[0] != "t")
    return Relation(words, targets, features, constant, equal)


def limits(*relations: Relation, **parts: Any) -> Limits:
    return Limits(**{"lower": FREE, "upper": FREE, "relations": relations} | parts)


ORDER = relation("t0 <= t1", t0=1, t1=-1)
SUM = relation("t0 + t1 + t2 == whole", equal=True, t0=1, t1=1, t2=1, whole=-1)


def test_no_limits_are_idle_and_change_nothing() -> None:
    values = np.ones((2, 3))
    assert limits().idle
    assert limits().enforce(values, NONE) is values


def test_bounds_clip_exactly_on_both_sides() -> None:
    bounded = limits(lower=(0.1, None, LEAST_POSITIVE), upper=(0.3, None, None))
    found = bounded.enforce(np.array([[0.0, -5.0, -1.0], [9.0, 7.0, 1e-300]]), rows(2))
    assert found.tolist() == [[0.1, -5.0, LEAST_POSITIVE], [0.3, 7.0, 1e-300]]


def test_a_broken_order_meets_in_the_middle_by_scale() -> None:
    values = np.array([[3.0, 1.0, 7.0], [1.0, 3.0, 7.0]])
    assert limits(ORDER).enforce(values, rows(2)).tolist() == [[2, 2, 7], [1, 3, 7]]
    scaled = limits(ORDER, scales=(1.0, 3.0, 1.0)).enforce(values, rows(2))
    np.testing.assert_allclose(scaled, [[2.8, 2.8, 7], [1, 3, 7]], rtol=1e-15)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 3), min_size=1, max_size=20))
def test_comparisons_hold_without_any_rounding_and_within_bounds(cells: Any) -> None:
    chain = limits(
        ORDER, relation("t1 <= t2", t1=1, t2=-1), relation("f <= t0", f=1, t0=-1),
        lower=(0.1, None, None), upper=(None, 0.7, 1e6), scales=(0.3, 1e-3, 700.0),
    )  # fmt: skip
    feature = [0.3 * i / len(cells) for i in range(len(cells))]
    found = chain.enforce(np.array(cells), rows(len(cells), f=feature))
    assert (found[:, 0] <= found[:, 1]).all()
    assert (found[:, 1] <= found[:, 2]).all()
    assert (found[:, 0] >= np.maximum(feature, 0.1)).all()
    assert (found[:, 1] <= 0.7).all()
    assert (found[:, 2] <= 1e6).all()


def test_a_conserved_sum_holds_with_the_rows_own_whole() -> None:
    draw = np.random.default_rng(0)
    values, whole = draw.normal(50, 9, (500, 3)), draw.normal(100, 30, 500)
    scales = np.array([1.0, 2.0, 0.5])
    found = limits(SUM, scales=tuple(scales)).enforce(values, rows(500, whole=whole))
    np.testing.assert_allclose(found.sum(axis=1), whole, rtol=1e-12)
    gap = (whole - values.sum(axis=1))[:, None]
    np.testing.assert_allclose(found, values + gap * scales**2 / (scales**2).sum(), rtol=1e-12)


def test_a_missing_feature_leaves_its_relation_out_in_that_row_alone() -> None:
    both = limits(SUM, ORDER)
    values = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    for whole in ([9.0, None, None], [9.0, np.nan, np.nan]):
        found = both.enforce(values, pd.DataFrame({"whole": whole}))
        np.testing.assert_allclose(found[0], [2, 3, 4])
        np.testing.assert_array_equal(found[1:], [[1, 2, 3], [1.5, 1.5, 3]])


def test_every_sample_holds_the_limits_of_its_row() -> None:
    draw = np.random.default_rng(1)
    samples, whole = draw.normal(3, 1, (40, 25, 3)), draw.normal(10, 1, 40)
    both = limits(SUM, ORDER, lower=(0.0, 0.0, 0.0))
    found = both.enforce(samples, rows(40, whole=whole))
    np.testing.assert_allclose(found.sum(axis=2), np.repeat(whole[:, None], 25, 1), rtol=1e-12)
    assert (found[..., 0] <= found[..., 1]).all()
    assert (found >= 0).all()
    alone = both.enforce(samples[7], rows(25, whole=[whole[7]] * 25))
    np.testing.assert_allclose(found[7], alone, rtol=1e-14)


def test_what_holds_already_comes_back_bit_for_bit() -> None:
    draw = np.random.default_rng(2)
    held = limits(
        SUM, ORDER, relation("2*t0 - t2 <= 3", -3.0, t0=2, t2=-1),
        lower=(0.1, None, None), upper=(None, 9.3, None), scales=(0.7, 1.9, 3.1),
    )  # fmt: skip
    data = rows(300, whole=draw.normal(10, 3, 300))
    once = held.enforce(draw.normal(3, 5, (300, 3)), data)
    np.testing.assert_array_equal(held.enforce(once, data), once)


def problem(draw: np.random.Generator) -> tuple[Limits, pa.Table, np.ndarray]:
    """Return random limits that a point holds, five rows, and that point."""
    count = int(draw.integers(2, 6))
    inside, wholes, relations = draw.normal(0, 1, count), {}, []
    for i in range(int(draw.integers(1, 6))):
        own = draw.choice(count, draw.integers(1, count + 1), replace=False)
        weights = draw.normal(0, 1, len(own))
        equal = bool(draw.random() < 0.3 and sum(r.equal for r in relations) < count - 1)
        room = 0.0 if equal or draw.random() < 0.2 else abs(draw.normal())
        wholes[f"f{i}"] = np.full(5, weights @ inside[own] + room)
        terms = tuple((int(t), float(w)) for t, w in zip(own, weights, strict=True))
        relations.append(Relation(f"r{i}", terms, ((f"f{i}", -1.0),), 0.0, equal))
    lower = tuple(float(v - 0.5) if draw.random() < 0.4 else None for v in inside)
    upper = tuple(float(v + 0.5) if draw.random() < 0.4 else None for v in inside)
    scales = tuple(float(s) for s in np.exp(draw.normal(0, 1, count)))
    return Limits(lower, upper, (), tuple(relations), scales), rows(5, **wholes), inside


def by_solver(own: Limits, start: np.ndarray, inside: np.ndarray, data: pa.Table) -> float:
    """Return the least squared distance by scale, as scipy finds it."""
    scales = np.array(own.scales)
    held = []
    for r in own.relations:
        normal = np.zeros(len(scales))
        for target, weight in r.targets:
            normal[target] = weight * scales[target]
        end = data.column(r.features[0][0])[0].as_py()
        held.append(LinearConstraint(normal, end if r.equal else -np.inf, end))
    sides = ([v if v is None else v / s for v, s in zip(b, scales, strict=True)]
             for b in (own.lower, own.upper))  # fmt: skip
    found = minimize(
        lambda y: float(((y - start) ** 2).sum()), inside / scales, jac=lambda y: 2 * (y - start),
        constraints=held, bounds=list(zip(*sides, strict=True)), method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    return float(found.fun)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_nearest_values_are_those_of_a_solver_of_quadratic_programs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    own, data, inside = problem(draw)
    values = draw.normal(0, 3, (5, len(inside)))
    found = own.enforce(values, data)
    for row in range(5):
        start, end = values[row] / own.scales, found[row] / own.scales
        least = by_solver(own, start, inside, data)
        assert ((end - start) ** 2).sum() <= least + 1e-6 * (1 + least)
    for r, counted in zip(own.relations, own.violations(found, data).values(), strict=True):
        assert counted == Count(5, 0)
        excess = r.excess(found, r.given(data))
        assert (np.abs(excess) if r.equal else excess).max() < 1e-9 * 20
    low = [-np.inf if v is None else v for v in own.lower]
    high = [np.inf if v is None else v for v in own.upper]
    assert ((found >= low) & (found <= high)).all()


def test_shares_are_the_nearest_point_of_the_simplex() -> None:
    draw = np.random.default_rng(3)
    values = draw.normal(0.3, 0.4, (200, 5))
    weights = np.exp(draw.normal(0, 0.5, 5))
    found = simplex(values, weights, 1.0)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    assert (found >= 0).all()
    roots = np.sqrt(weights)
    faces = np.concatenate([roots[None], -roots[None], -np.eye(5)])
    lengths = np.linalg.norm(faces, axis=1)
    ends = np.tile(np.array([1.0, -1.0, 0, 0, 0, 0, 0]) / lengths, (200, 1))
    other = nearest(values / roots, faces / lengths[:, None], ends) * roots
    np.testing.assert_allclose(found, other, atol=1e-12)


def test_shares_of_one_whole_add_up_also_beside_a_relation() -> None:
    draw = np.random.default_rng(4)
    parted = limits(shares=(((0, 2), 100.0),), scales=(1.0, 1.0, 5.0))
    values = draw.normal(50, 40, (100, 3))
    found = parted.enforce(values, rows(100))
    np.testing.assert_allclose(found[:, 0] + found[:, 2], 100.0, rtol=1e-12)
    assert (found[:, [0, 2]] >= 0).all()
    np.testing.assert_array_equal(found[:, 1], values[:, 1])
    both = limits(ORDER, shares=(((0, 2), 100.0),)).enforce(values, rows(100))
    np.testing.assert_allclose(both[:, 0] + both[:, 2], 100.0, rtol=1e-12)
    assert (both[:, [0, 2]] >= 0).all()
    assert (both[:, 0] <= both[:, 1]).all()


def test_values_that_are_not_finite_stay_and_bind_nothing() -> None:
    values = np.array([[np.nan, 1.0, 2.0], [5.0, -np.inf, 2.0], [5.0, 1.0, np.nan]])
    found = limits(ORDER, lower=(None, None, 3.0)).enforce(values, rows(3))
    np.testing.assert_array_equal(found, [[np.nan, 1, 3], [5, -np.inf, 3], [3, 3, np.nan]])


def test_limits_that_contradict_each_other_are_named_with_the_row() -> None:
    above = relation("t1 + 2 <= t0", 2.0, t1=1, t0=-1)
    torn = limits(ORDER, above, SUM, names=("dewp", "temp", "rain"))
    with pytest.raises(ValueError, match=r"no prediction can hold all of: .*") as caught:
        torn.enforce(np.zeros((3, 3)), rows(3, whole=[1.0, 2.0, 3.0]))
    assert "t0 <= t1" in str(caught.value)
    assert "t1 + 2 <= t0" in str(caught.value)
    assert "whole" not in str(caught.value)
    near = limits(
        relation("t0 >= f", t0=-1, f=1), upper=(9.0, None, None), names=("dewp", "b", "c")
    )
    with pytest.raises(ValueError, match=r"dewp at most 9; t0 >= f \(row 1\)"):
        near.enforce(np.zeros((2, 3)), rows(2, f=[3.0, 10.0]))


def test_an_absent_feature_is_named() -> None:
    with pytest.raises(ValueError, match="raw rows need the columns whole"):
        limits(SUM).enforce(np.zeros((1, 3)), rows(1))


def test_limits_come_back_from_json_as_they_were() -> None:
    whole = Limits(
        (0.0, None, LEAST_POSITIVE), (1.0, None, None), (((0, 2), 1.0),), (ORDER, SUM),
        (1.0, 2.0, 3.0), ("dewp", "temp", "rain"),
    )  # fmt: skip
    assert Limits.from_dict(json.loads(json.dumps(whole.to_dict(), allow_nan=False))) == whole
    assert whole.columns == ("whole",)


def test_rows_that_break_a_relation_are_counted_where_they_can_be_judged() -> None:
    values = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [2.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    data = rows(4, whole=[6.0, 6.0 + 1e-4, 6.0, None])
    near = Relation("near", SUM.targets, SUM.features, 0.0, True, 0.1)
    assert limits(SUM, ORDER, near).violations(values, data) == {
        SUM.words: Count(2, 1),
        ORDER.words: Count(3, 1),
        "near": Count(2, 0),
    }


def contract(*constraints: Any, **changes: Any) -> Contract:
    return small_contract(constraints=constraints, **changes)


def test_a_contract_says_what_predictions_are_held_to() -> None:
    targets = {
        "a": {"unit": "K", "output": "exp"},
        "b": {"unit": "Pa", "output": "sigmoid", "bounds": [-5, 5]},
        "c": {"unit": "1", "output": "softmax", "group": "parts"},
        "d": {"unit": "1", "output": "softmax", "group": "parts", "bounds": [0, 3]},
        "e": {"unit": "1", "output": "relu"},
    }
    enforced = {"holds": "a + 2*x >= b", "enforce": True}
    by = contract("e <= x", enforced, targets=targets, target_groups={"parts": {"whole": 7}})
    found = limits_of(by, [1, 2, 3, 4, 5])
    assert (found.lower, found.upper) == (
        (LEAST_POSITIVE, -5.0, None, None, 0.0), (None, 5.0, None, None, None),
    )  # fmt: skip
    assert (found.shares, found.scales) == ((((2, 3), 7.0),), (1.0, 2.0, 3.0, 4.0, 5.0))
    (only,) = found.relations
    assert (only.targets, only.features) == (((0, -1.0), (1, 1.0)), (("x", -2.0),))
    assert found.columns == ("x",)
    assert found.names == ("a", "b", "c", "d", "e")


def test_a_contract_whose_constraints_contradict_each_other_is_told() -> None:
    torn = contract(
        {"holds": "a >= b + 1", "enforce": True}, {"holds": "a + 1 <= b", "enforce": True}
    )
    with pytest.raises(ValueError, match=r"a >= b \+ 1.*a \+ 1 <= b|a \+ 1 <= b.*a >= b \+ 1"):
        limits_of(torn, [1.0, 1.0])


@pytest.mark.parametrize("architecture", ["shared", "mixture"])
def test_a_bundles_predictions_hold_the_constraints_that_are_enforced(
    architecture: str, tmp_path: Path
) -> None:
    recipe = {"architecture": architecture, "hidden": [8], "epochs": 1, "batch_size": 100}
    by = contract(
        {"holds": "a >= b + 12", "enforce": True},
        {"holds": "a + b + 0.5*x <= 10", "enforce": True},
        recipe=recipe,
    )
    bundle, _ = fit(by, small_rows(), small_rows(100, seed=1))
    data = small_rows(50, seed=2)
    save_bundle(bundle, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    free = fit(contract(recipe=recipe), small_rows(), small_rows(100, seed=1))[0].predict(data)
    for values in every_answer(loaded.predict(data, draws=20 * (architecture == "mixture"))):
        a, b = values[:, 0], values[:, 1]
        x = np.nan_to_num(numbers(data, "x"), nan=-np.inf)
        assert (a >= b + 12 - 1e-9).all()
        assert (a + b + 0.5 * x <= 10 + 1e-9).all()
    assert (free.mean[:, 0] < free.mean[:, 1] + 12).any()


def test_rows_that_no_prediction_can_hold_are_counted_from_the_first_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounded = {"unit": "K", "output": "sigmoid", "bounds": [-50, 50]}
    above = {"holds": "a >= x", "enforce": True}
    by = contract(above, targets={"a": bounded, "b": {"unit": "Pa"}})
    data = small_rows(50, seed=2, missing=0.0)
    bundle, _ = fit(by, small_rows(), small_rows(100, seed=1))
    monkeypatch.setattr("tasks.learning.bundle.NUMBERS", 2 * INNER_DRAWS * 10)
    x = data.column("x").to_numpy().copy()
    x[37] = 60.0
    torn = data.set_column(data.column_names.index("x"), "x", pa.array(x))
    with pytest.raises(ValueError, match=r"a >= x \(row 37\)"):
        bundle.predict(torn)


def every_answer(found: Predictions) -> list[np.ndarray]:
    """Return the mean and each draw, (rows, targets)."""
    return [found.mean, *([] if found.samples is None else found.samples.swapaxes(0, 1))]


def scores(*counts: tuple[int, str, int, int]) -> Scores:
    own = [Score(fold=0, model=m, target=t, rows=9, mae=1, rmse=1, r2=None, rrmse=0.5, skill={})
           for m in ("candidate", "ridge") for t in ("a", "b")]  # fmt: skip
    found = [
        ConstraintCount(fold=f, model=m, constraint="a <= b", rows=n, broken=k)
        for f, m, n, k in counts
    ]
    return Scores(candidate=CANDIDATE, scores=tuple(own), constraints=tuple(found))


def test_the_gate_counts_broken_rows_over_all_folds() -> None:
    found = scores((0, "candidate", 60, 2), (1, "candidate", 40, 1), (0, "ridge", 60, 8))
    for at_most, outcome in ((2, "fail"), (3, "pass")):
        gate = {"rules": [{"rule": "constraints", "at_most": at_most}]}
        verdict = judge_scores(contract("a <= b", "x <= z", gate=gate), found)
        ruling = verdict.rulings[0]
        assert (verdict.outcome, ruling.value, ruling.limit) == (outcome, 3, at_most)
        said = f"broken in 3 of 100 test rows, limit {at_most} (ridge in 8)"
        assert (ruling.target, ruling.reason) == ("a <= b", said)
        assert said in verdict_markdown(contract("a <= b"), verdict)


def test_a_constraint_of_minor_targets_alone_warns() -> None:
    minor = {name: {"unit": "K", "tier": "minor"} for name in ("a", "b")}
    gate = {"rules": [{"rule": "constraints"}]}
    by = contract("a <= b", gate=gate, targets=minor)
    verdict = judge_scores(by, scores((0, "candidate", 60, 2)))
    assert (verdict.outcome, verdict.rulings[0].passed) == ("pass", False)


def test_a_constraint_that_no_test_row_can_show_does_not_block() -> None:
    by = contract("a <= b", gate={"rules": [{"rule": "constraints"}]})
    verdict = judge_scores(by, scores((0, "candidate", 0, 0)))
    ruling = verdict.rulings[0]
    assert (verdict.outcome, ruling.target) == ("pass", "a <= b")
    assert (ruling.passed, ruling.blocks, ruling.value) == (True, False, None)


def test_every_models_predictions_are_counted_against_the_rows_features() -> None:
    by = contract("a <= x", "x <= z", {"holds": "a + b == x", "tolerance": 0.5})
    answers = {
        "candidate": np.array([[1.0, 1.0], [2.0, 0.0], [3.0, 0.0]]),
        "ridge": np.array([[9.0, np.nan], [9.0, np.nan], [9.0, 0.0]]),
    }
    data = rows(3, x=[2.0, None, 2.0], z=[0.0, 0.0, 0.0])
    sums = BrokenSums(by, answers)
    for start, stop in ((0, 2), (2, 3)):
        part = {model: values[start:stop] for model, values in answers.items()}
        sums.add(data.slice(start, stop - start), part)
    found = sums.counts(4)
    assert [(c.model, c.constraint, c.rows, c.broken) for c in found] == [
        ("candidate", "a <= x", 2, 1),
        ("candidate", "a + b == x", 2, 1),
        ("ridge", "a <= x", 2, 2),
        ("ridge", "a + b == x", 1, 1),
    ]
