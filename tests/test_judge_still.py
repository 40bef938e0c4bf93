"""A target that never varies is neither a failure nor a tie: there is nothing to learn of it."""

from typing import Any

import pytest
from rich.console import Console

from flows.display.verdict import show_verdict
from tasks.judge import judge_scores
from tasks.records import Fold, Scores, Verdict
from tasks.report.decision import rules
from tests.judging import CHAMPION, certain, contract, only, scores

MEAN = {"rule": "baseline", "baseline": "mean"}
LEAST_R2 = {"rule": "absolute", "metric": "r2", "at_least": 0.5}


def still(found: Scores, train: tuple[str, ...] = ("a",), test: tuple[str, ...] = ("a",)) -> Scores:
    """Return scores where some targets vary neither in train rows nor in test rows."""
    fold = Fold(index=0, rows={}, inputs=1, constant=train)
    shards = found.candidate.shards.model_copy(update={"folds": (fold,)})
    own = [
        s.model_copy(
            update={"r2_note": "the truth is constant"} if s.target in test else {"r2": 0.9}
        )
        for s in found.scores
    ]
    candidate = found.candidate.model_copy(update={"shards": shards})
    return found.model_copy(update={"candidate": candidate, "scores": tuple(own)})


def verdict_of(rule: dict[str, Any], found: Scores) -> Verdict:
    return judge_scores(contract(rule), found, certain(found))


@pytest.mark.parametrize("rule", [MEAN, CHAMPION, LEAST_R2], ids=lambda r: r["rule"])
def test_the_noise_of_a_still_target_decides_nothing(rule: dict[str, Any]) -> None:
    found = still(scores(candidate=(0.3, 0.5), mean=(0.0, 1.0), champion=(0.1, 0.6)))
    verdict = verdict_of(rule, found)
    assert verdict.outcome == "pass"
    ruling = only(verdict, "a")
    assert "does not vary in the train rows, nor in the test rows" in ruling.reason
    assert ruling.value is None
    assert rule is LEAST_R2 or "rmse 0.3 K" in ruling.reason
    assert [r.target for r in verdict.rulings].count("a") == 1


@pytest.mark.parametrize(("train", "test"), [((), ("a",)), (("a",), ())])
def test_one_that_varies_in_either_rows_is_judged(
    train: tuple[str, ...], test: tuple[str, ...]
) -> None:
    found = scores(candidate=(0.3, 0.5), mean=(0.0, 1.0))
    assert verdict_of(MEAN, still(found, train, test)).outcome == "fail"


def test_a_limit_of_its_own_still_holds_for_it() -> None:
    rule = {"rule": "absolute", "metric": "rmse", "at_most": 0.2, "targets": ["a"]}
    found = still(scores(candidate=(0.3, 0.5), mean=(0.0, 1.0)))
    assert verdict_of(rule, found).outcome == "fail"


def test_terminal_and_report_tell_it_apart_from_what_holds() -> None:
    verdict = verdict_of(MEAN, still(scores(candidate=(0.3, 0.5), mean=(0.0, 1.0))))
    console = Console(width=200)
    with console.capture() as shown:
        show_verdict(console, verdict)
    assert "holds for 1 of 1" in shown.get()
    assert "not judged: a: it does not vary in the train rows" in shown.get()
    (view,) = rules(verdict)
    assert view.summary == "holds for 1 of 1; 1 with nothing to judge"
    assert [v.state for v in view.rulings] == ["holds", "silent"]


def test_a_rule_with_nothing_to_judge_holds_for_nothing() -> None:
    verdict = verdict_of(MEAN, still(scores(candidate=(0.3, 0.5), mean=(0.0, 1.0))))
    silent = tuple(r for r in verdict.rulings if r.target == "a")
    console = Console(width=200)
    with console.capture() as shown:
        show_verdict(console, verdict.model_copy(update={"rulings": silent}))
    assert "–" in shown.get()
    assert "holds for" not in shown.get()
    assert "not judged: a: it does not vary in the train rows" in shown.get()


def test_a_reason_that_many_targets_share_is_told_once() -> None:
    console = Console(width=200)
    verdict = judge_scores(contract(CHAMPION), scores(candidate=(1.0, 1.0), champion=(1.0, 1.0)))
    with console.capture() as shown:
        show_verdict(console, verdict)
    assert "a and 1 more: the errors by block were not kept: evaluate anew" in shown.get()


def test_an_error_of_many_times_the_baselines_is_told_in_times() -> None:
    found = scores(candidate=(0.5, 1.0), mean=(1e-8, 2.0))
    assert only(verdict_of(MEAN, found), "a").reason == "0.5 K, 5e+07 times mean's 1e-08 K"
