"""The names in a gate's rules agree with the rest of the contract."""

from typing import Any

import pytest
from pydantic import ValidationError

from data_contracts.contract import Contract
from data_contracts.gate import LEVELS
from data_contracts.gate_agreement import slice_labels
from tasks.learning import conformal
from tasks.learning.slices import Slicer
from tests.builders import small_contract, small_rows


def with_rule(**rule: Any) -> Contract:
    return small_contract(gate={"rules": [rule]})


def refused(**rule: Any) -> str:
    """Return what was expected, and at which key."""
    with pytest.raises(ValidationError) as caught:
        with_rule(**rule)
    errors = caught.value.errors()
    return "\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors)


@pytest.mark.parametrize(
    "name",
    ["place=here", "x=quarter 4", "angle=missing", "season=winter", "hour=06-12", "missing=some"],
)
def test_a_rule_may_name_a_slice_of_a_feature_or_of_the_calendar(name: str) -> None:
    assert with_rule(rule="absolute", slice=name, at_most=1.0).gate.rules
    assert with_rule(rule="baseline", baseline="mean", slice=name).gate.rules


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("station=here", "COLUMN=LABEL, with one of the columns missing, x, z, place, angle"),
        ("place", "COLUMN=LABEL"),
        ("time=06-12", "COLUMN=LABEL"),
        ("x=quarter 5", "x=quarter 1 or x=quarter 2"),
        ("season=monsoon", "season=winter or season=spring"),
        ("missing=few", "missing=none or missing=some"),
    ],
)
def test_a_slice_that_there_cannot_be_is_refused(name: str, expected: str) -> None:
    said = refused(rule="absolute", slice=name, at_most=1.0)
    assert said.startswith("gate.rules.0.slice: ")
    assert expected in said


def test_a_slice_is_judged_by_mae_or_rmse() -> None:
    said = refused(rule="absolute", metric="r2", slice="place=here", at_least=0.5)
    assert said.startswith("gate.rules.0.metric: ")
    assert "mae or rmse" in said


def test_without_a_time_there_is_no_season() -> None:
    features = {"x": {"unit": "m"}, "z": {}}
    rule = {"rule": "absolute", "slice": "season=winter", "at_most": 1.0}
    with pytest.raises(ValidationError, match="with one of the columns missing, x, z"):
        small_contract(features=features, time=None, gate={"rules": [rule]})


def test_the_slices_that_a_rule_may_name_are_those_that_are_made() -> None:
    contract = small_contract()
    made = Slicer.fit(contract, small_rows()).labels
    known = slice_labels(contract)
    assert set(made) == set(known)
    assert {c: labels for c, labels in made.items() if known[c]} == {
        c: labels for c, labels in known.items() if labels
    }


def test_intervals_are_judged_at_the_levels_that_models_answer_with() -> None:
    assert LEVELS == conformal.LEVELS
    assert with_rule(rule="calibration", level=0.95).gate.rules
    assert "one of 0.5, 0.8, 0.9, 0.95, 0.99" in refused(rule="calibration", level=0.85)


@pytest.mark.parametrize("rule", ["baseline", "champion", "calibration"])
def test_a_rule_on_an_unknown_target_is_refused(rule: str) -> None:
    extra = {"baseline": "mean"} if rule == "baseline" else {}
    assert refused(rule=rule, targets=["c"], **extra).startswith("gate.rules.0.targets.0: ")


def test_a_rule_names_a_baseline_that_is_evaluated_but_the_default_rules_ask_for_none() -> None:
    few = {"baselines": ["ridge"]}
    assert small_contract(evaluation=few).gate.rules[0].rule == "baseline"
    rule = {"rule": "baseline", "baseline": "mean"}
    with pytest.raises(ValidationError, match=r"one of evaluation\.baselines: ridge"):
        small_contract(evaluation=few, gate={"rules": [rule]})


def test_rules_on_a_models_cost_and_age_name_no_target() -> None:
    assert with_rule(rule="size", at_most=20.0).gate.rules
    assert with_rule(rule="latency", rows=10_000, quantile="p50", at_most=20.0).gate.rules
    assert with_rule(rule="age", at_least="7d").gate.rules
    assert "targets" in refused(rule="size", at_most=20.0, targets=["a"])
