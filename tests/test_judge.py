"""The gate: every rule to pass or fail with its numbers, per target and tier."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.evaluate.tables import group_rows
from tasks.judge import judge_scores, verdict_markdown, write_verdict
from tasks.records import Score, Scores
from tests.builders import CANDIDATE, small_contract
from tests.judging import CHAMPION, certain, contract, judged, only, scores


def test_an_absolute_rule_tells_value_limit_and_unit() -> None:
    rule = {"rule": "absolute", "metric": "rmse", "targets": ["a"], "at_most": 2.0}
    assert judged(rule, scores(candidate=(2.0, 9.0))).outcome == "pass"
    failed = judged(rule, scores(candidate=(2.5, 9.0)))
    assert failed.outcome == "fail"
    assert only(failed, "a").reason == "rmse 2.5 K, limit 2 K"


def test_an_undefined_metric_fails_and_says_why() -> None:
    rule = {"rule": "absolute", "metric": "r2", "targets": ["a"], "at_least": 0.5}
    verdict = judged(rule, scores(candidate=(1.0, 1.0)))
    assert verdict.outcome == "fail"
    assert "does not vary" in only(verdict, "a").reason


@pytest.mark.parametrize(("value", "outcome"), [(9.0, "pass"), (9.01, "fail")])
def test_a_baseline_rule_asks_for_its_share_below(value: float, outcome: str) -> None:
    rule = {"rule": "baseline", "baseline": "ridge", "by": 0.1, "targets": ["a"]}
    assert judged(rule, scores(candidate=(value, 1.0), ridge=(10.0, 1.0))).outcome == outcome


def test_a_tie_with_a_baseline_is_not_below_it() -> None:
    rule = {"rule": "baseline", "baseline": "ridge", "targets": ["a"]}
    assert judged(rule, scores(candidate=(1.0, 1.0), ridge=(1.0, 1.0))).outcome == "fail"


def test_a_baseline_without_an_answer_neither_blocks_nor_fails() -> None:
    rule = {"rule": "baseline", "baseline": "persistence", "by": 0.5}
    verdict = judged(rule, scores(candidate=(1.0, 1.0), persistence=(4.0, None)))
    assert verdict.outcome == "pass"
    assert "nothing to say" in only(verdict, "b").reason


def test_a_minor_target_warns_and_does_not_block() -> None:
    rule = {"rule": "absolute", "metric": "rmse", "at_most": 2.0}
    targets = {"a": {"unit": "K", "tier": "minor"}, "b": {"unit": "Pa"}}
    verdict = judged(rule, scores(candidate=(5.0, 1.0)), targets=targets)
    assert verdict.outcome == "pass"
    assert not only(verdict, "a").passed
    assert "| ⚠ |" in verdict_markdown(contract(rule, targets=targets), verdict)


@pytest.mark.parametrize("target", ["a", "b"])
@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "champion"},
        {"rule": "baseline", "baseline": "ridge"},
        {"rule": "absolute", "metric": "rmse", "at_most": 9.0},
    ],
    ids=lambda r: r["rule"],
)
def test_a_target_without_a_score_of_the_candidate_blocks(
    rule: dict[str, Any], target: str
) -> None:
    candidate = (None, 1.0) if target == "a" else (1.0, None)
    verdict = judged(rule, scores(candidate=candidate, champion=(2.0, 2.0), ridge=(2.0, 2.0)))
    assert verdict.outcome == "fail"
    failed = [r for r in verdict.rulings if not r.passed]
    assert {r.target for r in failed} == {target}


def test_a_verdict_that_was_written_says_every_ruling(tmp_path: Path) -> None:
    verdict = judged(CHAMPION, scores(candidate=(1.03, 0.5), champion=(1.0, 1.0)))
    assert write_verdict(verdict, tmp_path) == verdict
    content = json.loads((tmp_path / "verdict.json").read_text("utf-8"))
    assert content["outcome"] == "fail"
    assert [r["target"] for r in content["rulings"]] == ["a", "b", "all"]
    assert [e["target"] for e in content["effects"]] == ["a", "b", "all"]


def test_perfect_models_tie() -> None:
    found = scores(candidate=(0.0, 0.0), champion=(0.0, 0.0), ridge=(0.0, 0.0))
    assert judged(CHAMPION, found).outcome == "fail"
    assert judged({"rule": "baseline", "baseline": "ridge"}, found).outcome == "fail"
    share = {"rule": "baseline", "baseline": "ridge", "by": 0.1}
    assert judged(share, found).outcome == "pass"


def test_a_groups_name_spreads_to_its_targets() -> None:
    rule = {"rule": "absolute", "metric": "rmse", "targets": ["both"], "at_most": 2.0}
    target = {"unit": "K", "group": "both"}
    changes: dict[str, Any] = {"targets": {"a": target, "b": target}, "target_groups": {"both": {}}}
    verdict = judged(rule, scores(candidate=(1.0, 1.0)), **changes)
    assert [r.target for r in verdict.rulings] == ["a", "b"]


def test_a_group_of_one_unit_has_scores_and_one_of_two_units_has_none() -> None:
    found = scores(candidate=(3.0, 4.0))
    target = {"unit": "K", "group": "both"}
    one = small_contract(targets={"a": target, "b": target}, target_groups={"both": {}})
    assert group_rows(one, found)[0]["RMSE"] == pytest.approx(12.5**0.5, abs=1e-4)
    two = small_contract(
        targets={"a": target, "b": target | {"unit": "Pa"}}, target_groups={"both": {}}
    )
    assert group_rows(two, found) == []


def test_the_markdown_shows_failed_rulings_first() -> None:
    found = scores(candidate=(1.03, 0.5), champion=(1.0, 1.0))
    lines = verdict_markdown(contract(CHAMPION), judged(CHAMPION, found)).splitlines()
    assert lines[0] == "# small: fail"
    assert lines[4].startswith("| ✘ |")


def r2_of_a(value: float) -> Scores:
    own = {"fold": 0, "model": "candidate", "rows": 9, "mae": 1, "rmse": 1, "rrmse": 0.5}
    score = Score(**own, target="a", r2=value, skill={})
    other = score.model_copy(update={"target": "b"})
    return Scores(candidate=CANDIDATE, scores=(score, other))


@pytest.mark.parametrize(("value", "outcome"), [(0.5, "pass"), (0.499, "fail")])
def test_r2_is_held_against_its_least_value_and_has_no_unit(value: float, outcome: str) -> None:
    rule = {"rule": "absolute", "metric": "r2", "targets": ["a"], "at_least": 0.5}
    verdict = judged(rule, r2_of_a(value))
    assert verdict.outcome == outcome
    assert only(verdict, "a").reason == f"r2 {value:g}, limit 0.5"
    assert only(verdict, "a").rule == "r2 at least 0.5"


def test_a_baseline_ruling_tells_both_errors_their_gap_and_the_unit() -> None:
    rule = {"rule": "baseline", "baseline": "ridge", "by": 0.1}
    verdict = judged(rule, scores(candidate=(9.5, 8.0), ridge=(10.0, 10.0)))
    assert verdict.outcome == "fail"
    assert only(verdict, "a").rule == "rmse at least 10% below ridge"
    assert only(verdict, "a").reason == "9.5 K, 5.0% below ridge's 10 K"
    assert only(verdict, "b").reason == "8 Pa, 20.0% below ridge's 10 Pa"
    assert only(verdict, "a").limit == 9.0


@pytest.mark.parametrize(("value", "outcome"), [(10.5, "pass"), (10.6, "fail")])
def test_a_negative_share_allows_an_error_above_the_baselines(value: float, outcome: str) -> None:
    rule = {"rule": "baseline", "baseline": "ridge", "by": -0.05, "targets": ["a"]}
    verdict = judged(rule, scores(candidate=(value, 1.0), ridge=(10.0, 1.0)))
    assert verdict.outcome == outcome
    assert only(verdict, "a").rule == "rmse at most 5% above ridge"
    assert f"{value / 10 - 1:.1%} above ridge's 10 K" in only(verdict, "a").reason


def test_a_baseline_without_any_error_is_told_without_a_share() -> None:
    rule = {"rule": "baseline", "baseline": "ridge", "targets": ["a"]}
    verdict = judged(rule, scores(candidate=(0.5, 1.0), ridge=(0.0, 1.0)))
    assert verdict.outcome == "fail"
    assert only(verdict, "a").reason == "0.5 K, against ridge's 0 K"


def test_one_failed_rule_of_many_blocks() -> None:
    rules = [
        {"rule": "absolute", "metric": "rmse", "at_most": 5.0},
        {"rule": "baseline", "baseline": "mean"},
        CHAMPION,
    ]
    by = small_contract(gate={"rules": rules})
    good = scores(candidate=(1.0, 1.0), mean=(3.0, 3.0), champion=(2.0, 2.0))
    bad = scores(candidate=(1.0, 1.0), mean=(3.0, 0.9), champion=(2.0, 2.0))
    assert judge_scores(by, good, certain(good)).outcome == "pass"
    verdict = judge_scores(by, bad, certain(bad))
    assert verdict.outcome == "fail"
    assert [(r.rule, r.target) for r in verdict.rulings if not r.passed] == [
        ("rmse below mean", "b")
    ]


def test_a_rule_may_go_by_the_mean_absolute_error() -> None:
    # The helper's mean absolute error is half of the root mean square.
    rule = {"rule": "absolute", "metric": "mae", "targets": ["a"], "at_most": 2.0}
    assert judged(rule, scores(candidate=(4.0, 9.0))).outcome == "pass"
    assert only(judged(rule, scores(candidate=(4.5, 9.0))), "a").reason == "mae 2.25 K, limit 2 K"


def test_folds_count_by_their_mean() -> None:
    rule = {"rule": "absolute", "metric": "rmse", "targets": ["a"], "at_most": 2.0}
    first = scores(candidate=(1.0, 1.0))
    second = scores(candidate=(3.5, 1.0))
    late = [s.model_copy(update={"fold": 1}) for s in second.scores]
    both = first.model_copy(update={"scores": (*first.scores, *late)})
    assert only(judged(rule, both), "a").value == 2.25
