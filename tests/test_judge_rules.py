"""The gate's rules on slices, intervals, costs and age, and what follows from all of them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from flows.display.verdict import show_verdict
from tasks.judge import Evidence, find, judge_scores, reach_verdict, verdict_markdown
from tasks.records import Cost, CoverageError, Distribution, Opponent, Scores, SliceScore, Verdict
from tasks.storage import root_storage
from tests.builders import CANDIDATE, small_contract
from tests.judging import contract, judged, only, scores


def sliced(rows: int = 40, **changes: Any) -> Evidence:
    """Return evidence of one slice of target a, where ridge does better than overall."""
    own = {"slice": "place=here", "target": "a", "rows": rows, "mae": 2.0, "rmse": 3.0}
    own |= {"ratio": 1.5, "low": 1.2, "others": {"ridge": 4.0}, "others_mae": {"ridge": 1.0}}
    return Evidence(slices=(SliceScore(**(own | changes)),))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"rule": "absolute", "metric": "rmse", "at_most": 2.5}, "rmse 3 K, limit 2.5 K"),
        ({"rule": "absolute", "metric": "mae", "at_most": 1.5}, "mae 2 K, limit 1.5 K"),
        ({"rule": "baseline", "baseline": "ridge", "by": 0.5}, "3 K, 25.0% below ridge's 4 K"),
        (
            {"rule": "baseline", "baseline": "ridge", "metric": "mae"},
            "2 K, 100.0% above ridge's 1 K",
        ),
    ],
    ids=["rmse", "mae", "against ridge", "against ridge by mae"],
)
def test_a_rule_on_a_slice_goes_by_the_errors_there(rule: dict[str, Any], reason: str) -> None:
    found = scores(candidate=(1.0, 1.0), ridge=(9.0, 9.0))
    verdict = judged(rule | {"targets": ["a"], "slice": "place=here"}, found, sliced())
    assert verdict.outcome == "fail"
    assert only(verdict, "a").rule.endswith(" in place=here")
    assert only(verdict, "a").reason == reason


@pytest.mark.parametrize("evidence", [Evidence(), sliced(rows=29)], ids=["no row", "29 rows"])
def test_a_slice_of_hardly_any_row_is_insufficient_evidence(evidence: Evidence) -> None:
    rule = {"rule": "absolute", "targets": ["a"], "slice": "place=here", "at_most": 9.0}
    verdict = judged(rule, scores(candidate=(1.0, 1.0)), evidence)
    assert verdict.outcome == "insufficient evidence"
    assert only(verdict, "a").unsure
    assert "| ? |" in verdict_markdown(contract(rule), verdict)


def test_a_rule_on_a_slice_does_not_spare_a_target_the_baselines() -> None:
    rule = {"rule": "absolute", "targets": ["a"], "slice": "place=here", "at_most": 9.0}
    found = scores(candidate=(2.0, 2.0), mean=(1.0, 4.0))
    verdict = judged(rule, found, sliced())
    assert [(r.rule, r.target) for r in verdict.rulings if not r.passed] == [
        ("rmse below mean", "a")
    ]


@pytest.mark.parametrize("metric", ["bias", "max_error"])
def test_a_bias_counts_by_its_size_and_a_greatest_error_over_all_folds(metric: str) -> None:
    first = scores(candidate=(1.0, 1.0)).scores
    folds = [
        s.model_copy(update={"fold": i, "bias": bias, "max_error": most})
        for i, (bias, most) in enumerate([(-4.0, 1.0), (-2.0, 3.0)])
        for s in first
    ]
    found = Scores(candidate=CANDIDATE, scores=tuple(folds))
    rule = {"rule": "absolute", "metric": metric, "targets": ["a"], "at_most": 2.9}
    assert only(judged(rule, found), "a").value == 3.0
    assert judged(rule, found).outcome == "fail"


def test_a_baseline_is_met_on_the_rows_that_it_answers() -> None:
    found = scores(candidate=(1.0, 1.0), persistence=(2.0, 2.0))
    easy = [
        s.model_copy(update={"candidate": {"rmse": 3.0}}) if s.model == "persistence" else s
        for s in found.scores
    ]
    rule = {"rule": "baseline", "baseline": "persistence"}
    verdict = judged(rule, found.model_copy(update={"scores": tuple(easy)}))
    assert verdict.outcome == "fail"
    assert only(verdict, "a").reason == "3 K, 50.0% above persistence's 2 K"


AGE = {"rule": "age", "at_least": "7d"}
"""A rule that says nothing of errors."""


@pytest.mark.parametrize(
    ("models", "outcome"),
    [
        ({"mean": (2.0, 2.0), "persistence": (2.0, None)}, "pass"),
        ({"mean": (0.9, 2.0)}, "fail"),
        ({"mean": (2.0, 2.0), "persistence": (0.9, None)}, "fail"),
    ],
    ids=["below both", "above the mean", "above persistence"],
)
def test_a_target_whose_error_no_rule_judges_must_lie_below_mean_and_persistence(
    models: dict[str, Any], outcome: str
) -> None:
    found = scores(candidate=(1.0, 1.0), **models)
    assert judged(AGE, found).outcome == outcome


@pytest.mark.parametrize(("ratio", "outcome"), [(0.9, "pass"), (1.0, "fail")])
def test_without_the_baseline_mean_the_ratio_to_it_decides(ratio: float, outcome: str) -> None:
    own = [s.model_copy(update={"rrmse": ratio}) for s in scores(candidate=(1.0, 1.0)).scores]
    found = Scores(candidate=CANDIDATE, scores=tuple(own))
    assert judged(AGE, found).outcome == outcome


def test_a_target_that_nothing_can_judge_is_insufficient_evidence() -> None:
    own = [s.model_copy(update={"rrmse": None}) for s in scores(candidate=(1.0, 1.0)).scores]
    found = Scores(candidate=CANDIDATE, scores=tuple(own))
    assert judged(AGE, found).outcome == "insufficient evidence"


def covered(*shares: float | None, rows: int = 1000) -> Scores:
    """Return scores whose intervals of 90 % hold these shares, by fold; None for no interval."""
    first = scores(candidate=(1.0, 1.0)).scores
    folds = []
    for i, share in enumerate(shares):
        levels = () if share is None else (0.5, 0.9)
        shape = Distribution(
            crps=1.0, levels=levels, coverage=() if share is None else (0.5, share)
        )
        folds += [
            s.model_copy(update={"fold": i, "rows": rows, "distribution": shape}) for s in first
        ]
    return Scores(candidate=CANDIDATE, scores=tuple(folds))


CALIBRATION = {"rule": "calibration", "level": 0.9, "within": 0.02}


@pytest.mark.parametrize(
    ("share", "rows", "outcome"),
    [
        (0.92, 1000, "pass"),
        (0.88, 1000, "pass"),
        (0.85, 1000, "fail"),
        (0.95, 1000, "fail"),
        (0.85, 100, "insufficient evidence"),
        (0.90, 29, "insufficient evidence"),
        (None, 1000, "insufficient evidence"),
    ],
)
def test_intervals_must_hold_the_share_that_they_claim(
    share: float | None, rows: int, outcome: str
) -> None:
    assert judged(CALIBRATION, covered(share, rows=rows)).outcome == outcome


def test_a_share_inside_counts_the_rows_of_all_folds_and_says_what_chance_leaves_open() -> None:
    ruling = only(judged(CALIBRATION, covered(0.84, 0.94)), "a")
    assert ruling.passed
    assert ruling.reason == "89.0% of 2,000 truths inside (95% interval 87.6% to 90.3%)"


def test_rows_that_hang_together_leave_more_to_chance() -> None:
    found = covered(0.85, rows=1000)
    assert judged(CALIBRATION, found).outcome == "fail"
    loose = CoverageError(target="a", level=0.9, error=0.03, clusters=64)
    other = loose.model_copy(update={"target": "b"})
    together = found.model_copy(update={"coverage_errors": (loose, other)})
    verdict = judged(CALIBRATION, together)
    assert verdict.outcome == "insufficient evidence"
    assert only(verdict, "a").reason.endswith("(95% interval 79.0% to 91.0%)")


def costing(**changes: Any) -> Scores:
    cost = Cost(megabytes=2.0, milliseconds={"p50/1": 4.0, "p99/1": 9.0})
    return scores(candidate=(1.0, 1.0)).model_copy(update={"cost": cost} | changes)


@pytest.mark.parametrize(
    ("rule", "limit", "reason"),
    [
        ({"rule": "size"}, 2.0, "2 MB, limit 1 MB"),
        ({"rule": "latency", "quantile": "p50"}, 4.0, "4 ms, limit 1 ms"),
        ({"rule": "latency"}, 9.0, "9 ms, limit 1 ms"),
    ],
    ids=["size", "p50", "p99"],
)
def test_what_a_model_costs_is_held_against_a_limit(
    rule: dict[str, Any], limit: float, reason: str
) -> None:
    assert judged(rule | {"at_most": limit}, costing()).outcome == "pass"
    failed = judged(rule | {"at_most": 1.0}, costing())
    assert failed.outcome == "fail"
    assert only(failed, "all").reason.startswith(reason)
    assert judged(rule | {"at_most": 1.0}, costing(cost=None)).outcome == "insufficient evidence"


def aged(trained: str | None, **changes: Any) -> Verdict:
    """Return the verdict of a rule that a champion stays a week, at noon of the eighth."""
    now = datetime(2026, 1, 8, 12, tzinfo=UTC)
    facts = Opponent(version="3", trained=trained)
    found = scores(candidate=(1.0, 1.0)).model_copy(update={"opponent_facts": facts} | changes)
    return judged({"rule": "age", "at_least": "7d"}, found, Evidence(now=now))


def test_a_champion_stays_for_its_time() -> None:
    assert aged("2026-01-01T12:00:00+00:00").outcome == "pass"
    young = aged("2026-01-01T12:01:00+00:00")
    assert young.outcome == "fail"
    assert only(young, "all").reason == "version 3 was trained 7.0 days ago, limit 7 days"


@pytest.mark.parametrize(
    "changes",
    [{"opponent_facts": None}, {"as_of": "2013-06-01"}],
    ids=["no champion", "as of a day"],
)
def test_where_no_champion_is_replaced_its_age_does_not_count(changes: dict[str, Any]) -> None:
    verdict = aged("2026-01-08T11:00:00+00:00", **changes)
    assert verdict.outcome == "pass"
    assert only(verdict, "all").value is None


def test_a_verdict_and_what_was_decided_of_it_stand_until_the_age_rule_rules_otherwise() -> None:
    by = contract({"rule": "age", "at_least": "7d"}, gate={"approval": "manual"})
    with root_storage().write("scores/small/own"):
        pass
    facts = Opponent(version="3", trained="2026-01-01T12:00:00+00:00")
    found = scores(candidate=(1.0, 1.0)).model_copy(
        update={"opponent_facts": facts, "place": "scores/small/own", "hash": "1" * 64}
    )
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (2, 3, 9, 30)]
    young, still, old, later = (reach_verdict(by, found, day) for day in days)
    assert [young.outcome, old.outcome] == ["fail", "needs approval"]
    assert (still.hash, later.hash) == (young.hash, old.hash)
    assert [find(by, found, day) for day in days] == [young, young, old, old]
    root_storage().forget(old.place)
    assert find(by, found, days[3]) is None
    assert find(by, found, days[0]) == young


MINOR: dict[str, Any] = {
    "targets": {"a": {"unit": "K", "tier": "minor"}, "b": {"unit": "Pa", "tier": "minor"}}
}


@pytest.mark.parametrize(("budget", "outcome"), [(None, "pass"), (2, "pass"), (1, "fail")])
def test_more_failed_minor_targets_than_the_budget_block(budget: int | None, outcome: str) -> None:
    rule = {"rule": "absolute", "at_most": 2.0}
    gate = {"minor_budget": budget}
    verdict = judged(rule, scores(candidate=(5.0, 5.0)), gate=gate, **MINOR)
    assert verdict.outcome == outcome
    if outcome == "fail":
        assert only(verdict, "minor targets").reason == "2 fail: a, b"


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        ({}, "insufficient evidence"),
        ({"insufficient": "pass"}, "pass"),
        ({"insufficient": "ask"}, "needs approval"),
        ({"insufficient": "block", "approval": "manual"}, "insufficient evidence"),
        ({"insufficient": "pass", "approval": "manual"}, "needs approval"),
    ],
)
def test_the_contract_says_what_follows_where_the_rows_cannot_tell(
    gate: dict[str, Any], outcome: str
) -> None:
    assert judged(CALIBRATION, covered(None), gate=gate).outcome == outcome


def test_a_failure_outweighs_doubt_and_needs_nobodys_word() -> None:
    rules = [CALIBRATION, {"rule": "absolute", "at_most": 0.5}]
    gate = {"rules": rules, "insufficient": "ask", "approval": "manual"}
    assert judge_scores(small_contract(gate=gate), covered(None)).outcome == "fail"


def test_a_person_has_the_last_word_only_of_a_candidate_that_passed() -> None:
    rule = {"rule": "absolute", "at_most": 2.0}
    manual = {"approval": "manual"}
    assert judged(rule, scores(candidate=(1.0, 1.0)), gate=manual).outcome == "needs approval"
    assert judged(rule, scores(candidate=(5.0, 1.0)), gate=manual).outcome == "fail"


def test_the_terminal_marks_what_cannot_be_told() -> None:
    console = Console(width=120)
    for found, mark in ((covered(None), "?"), (covered(0.5), "✘"), (covered(0.9), "✔")):
        with console.capture() as shown:
            show_verdict(console, judged(CALIBRATION, found))
        assert f" {mark} 90% intervals hold 90% of truths" in shown.get()


def test_the_terminal_tells_the_worst_of_many_targets_that_fail() -> None:
    verdict = judged({"rule": "absolute", "at_most": 1.0}, scores(candidate=(5.0, 7.0)))
    failed = [
        only(verdict, "a").model_copy(
            update={"target": f"t{i}", "value": 2.0 + i, "reason": f"rmse {2 + i} K, limit 1 K"}
        )
        for i in range(100)
    ]
    console = Console(width=120)
    with console.capture() as shown:
        show_verdict(console, verdict.model_copy(update={"rulings": tuple(failed)}))
    lines = shown.get().splitlines()
    assert lines[1].endswith("holds for 0 of 100")
    assert lines[2] == "     t99: rmse 101 K, limit 1 K"
    assert lines[-1] == "     and 88 more, which the report names"
    assert len(lines) == 15


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"rule": "absolute", "metric": "rmse", "at_most": 2.5}, "rmse 1, limit 2.5"),
        ({"rule": "baseline", "baseline": "mean"}, "1, 75.0% below mean's 4"),
        ({"rule": "champion", "margin": 0.02}, "1, champion 2: -50.0%"),
    ],
    ids=["absolute", "baseline", "champion"],
)
def test_a_plain_number_is_told_without_its_unit(rule: dict[str, Any], reason: str) -> None:
    found = scores(candidate=(1.0, 1.0), mean=(4.0, 4.0), champion=(2.0, 2.0))
    verdict = judged(rule, found, targets={"a": {"unit": "1"}, "b": {"unit": "Pa"}})
    assert only(verdict, "a").reason.startswith(reason)
