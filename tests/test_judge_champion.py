"""The rule against the champion: no worse on every target, better on one or on the whole."""

from typing import Any

import numpy as np
import pytest

from tasks.judge import Evidence, judge_scores, verdict_markdown
from tasks.learning.block_sums import BlockSums
from tasks.records import Difference, Opponent, Scores
from tests.builders import small_contract
from tests.judging import CHAMPION, by_chance, certain, contract, judged, only, scores


def test_why_a_champion_was_not_compared_is_told() -> None:
    found = scores(candidate=(1.0, 1.0)).model_copy(update={"champion_note": "other columns"})
    assert judged(CHAMPION, found).rulings[0].reason == "other columns; the baselines decide"


def test_the_first_candidate_has_no_champion_to_beat() -> None:
    verdict = judged(CHAMPION, scores(candidate=(1.0, 1.0)))
    assert verdict.outcome == "pass"
    assert verdict.rulings[0].reason == "there is no champion yet; the baselines decide"


def as_of(found: Scores, champion: str | None) -> Scores:
    return found.model_copy(update={"as_of": "2013-06-01", "champion": champion})


def test_as_of_a_day_the_version_compared_with_is_named_and_not_called_champion() -> None:
    found = as_of(scores(candidate=(1.03, 0.5), champion=(1.0, 1.0)), "7")
    verdict = judged(CHAMPION, found)
    assert verdict.outcome == "fail"
    assert only(verdict, "a").rule == "rmse at most 2% above version 7's"
    assert only(verdict, "a").reason == "1.03 K, version 7 1 K: +3.0%"
    assert only(verdict, "all").rule == "rmse below version 7's on a target or on the whole"
    assert only(verdict, "all").reason.startswith("on the whole -28.2%")


def test_as_of_a_day_with_no_version_as_old_the_baselines_decide_alone() -> None:
    verdict = judged(CHAMPION, as_of(scores(candidate=(1.0, 1.0)), None))
    assert verdict.outcome == "pass"
    assert verdict.rulings[0].rule == "rmse at most 2% above the champion's"
    assert (
        verdict.rulings[0].reason == "no version is as old as 2013-06-01 yet; the baselines decide"
    )


def test_a_tie_with_the_champion_does_not_promote() -> None:
    found = scores(candidate=(1.0, 2.0), champion=(1.0, 2.0))
    assert judged(CHAMPION, found).outcome == "fail"


def test_a_target_beyond_the_margin_blocks_however_much_another_gains() -> None:
    found = scores(candidate=(1.03, 0.5), champion=(1.0, 1.0))
    verdict = judged(CHAMPION, found)
    assert verdict.outcome == "fail"
    assert not only(verdict, "a").passed
    assert only(verdict, "b").passed


def test_losses_within_the_margin_do_not_add_up() -> None:
    found = scores(candidate=(1.015, 0.999), champion=(1.0, 1.0))
    verdict = judged(CHAMPION, found)
    assert verdict.outcome == "fail"
    assert [r.target for r in verdict.rulings if not r.passed] == ["all"]


def test_better_on_the_whole_within_the_margin_passes() -> None:
    found = scores(candidate=(1.015, 0.9), champion=(1.0, 1.0))
    assert judged(CHAMPION, found).outcome == "pass"


def test_only_the_targets_that_the_champion_has_are_compared_with_it() -> None:
    found = scores(candidate=(0.9, 5.0), champion=(1.0, None), mean=(9.0, 9.0))
    verdict = judged(CHAMPION, found)
    assert verdict.outcome == "pass"
    assert [(r.rule, r.target) for r in verdict.rulings if r.value is not None] == [
        ("rmse at most 2% above the champion's", "a"),
        ("rmse below the champion's on a target or on the whole", "all"),
        ("rmse below mean", "b"),
    ]
    assert only(verdict, "b").reason == "the champion does not predict it; the baselines decide"


def test_a_minor_targets_loss_does_not_weigh_on_the_whole() -> None:
    targets = {"a": {"unit": "K"}, "b": {"unit": "Pa", "tier": "minor"}}
    found = scores(candidate=(0.99, 5.0), champion=(1.0, 1.0))
    verdict = judged(CHAMPION, found, targets=targets)
    assert verdict.outcome == "pass"
    assert not only(verdict, "b").passed


def test_a_champion_ruling_tells_both_errors_their_ratio_and_the_unit() -> None:
    verdict = judged(CHAMPION, scores(candidate=(1.03, 0.5), champion=(1.0, 1.0)))
    assert only(verdict, "a").reason == "1.03 K, champion 1 K: +3.0%"
    assert only(verdict, "b").reason == "0.5 Pa, champion 1 Pa: -50.0%"
    assert only(verdict, "all").reason.startswith("on the whole -28.2%")


def test_an_error_at_the_margin_holds() -> None:
    found = scores(candidate=(1.25, 0.5), champion=(1.0, 1.0))
    assert judged({"rule": "champion", "margin": 0.25}, found).outcome == "pass"


def test_a_champion_that_went_astray_is_beaten() -> None:
    found = scores(candidate=(1.0, 1.0), champion=(float("inf"), 1.0))
    assert judged(CHAMPION, found).outcome == "pass"


def met(found: Scores, **facts: Any) -> Scores:
    """Return scores against version 3, of which these facts are known."""
    known = {"version": "3", "shared": ("a", "b"), "test_rows": 4000, "fresh_rows": 4000}
    opponent = Opponent.model_validate(known | facts)
    return found.model_copy(update={"opponent_facts": opponent, "champion": "3"})


BOTH = scores(candidate=(1.0, 1.0), champion=(1.0, 1.0), mean=(3.0, 3.0))


@pytest.mark.parametrize(
    ("ratios", "outcome"),
    [((0.9, 0.9), "pass"), ((0.9, 1.0), "pass"), ((1.2, 0.9), "fail")],
    ids=["better", "better on one", "worse on one"],
)
def test_chance_is_told_from_a_difference(ratios: tuple[float, float], outcome: str) -> None:
    verdict = judged({"rule": "champion", "margin": 0.05}, met(BOTH), by_chance(*ratios))
    assert verdict.outcome == outcome
    assert not [r for r in verdict.rulings if r.unsure]


def test_rows_that_cannot_tell_say_the_interval_and_what_they_could_see() -> None:
    verdict = judged(CHAMPION, met(BOTH), by_chance(1.0, rows=1))
    assert verdict.outcome == "insufficient evidence"
    ruling, effect = only(verdict, "a"), verdict.effects[0]
    assert ruling.unsure
    assert (effect.target, effect.rows, effect.blocks) == ("a", 40, 40)
    assert effect.low < 1 < 1.02 < effect.high == ruling.value
    assert ruling.reason == (
        f"1 K, champion 1 K: {effect.ratio - 1:+.1%} (95% interval {effect.low - 1:+.1%} to "
        f"{effect.high - 1:+.1%}; a change of {effect.detectable:.1%} can be seen)"
    )
    shown = verdict_markdown(contract(CHAMPION), verdict)
    assert f"| a | {effect.ratio - 1:+.1%} |" in shown
    assert "| the whole |" in shown


def test_a_tie_to_within_the_margin_does_not_promote_even_where_doubt_may_pass() -> None:
    rule = {"rule": "champion", "margin": 0.2}
    verdict = judged(rule, met(BOTH), by_chance(1.0), gate={"insufficient": "pass"})
    assert verdict.outcome == "fail"
    assert only(verdict, "all").reason.startswith("a tie: no target differs by more than 20%")


def test_what_is_worse_on_the_whole_is_not_promoted_for_one_target() -> None:
    verdict = judged(
        {"rule": "champion", "margin": 0.3}, met(BOTH), by_chance(1.25, 0.95, rows=900)
    )
    assert verdict.outcome == "fail"
    assert {r.target for r in verdict.rulings if not r.passed} == {"all"}


def test_hardly_any_row_that_the_champion_has_not_seen_is_insufficient_evidence() -> None:
    found = met(BOTH, fresh_rows=29)
    verdict = judged(CHAMPION, found, certain(found, rows=29))
    assert verdict.outcome == "insufficient evidence"
    reason = "29 test rows are new to the champion, and at least 30 are needed"
    assert only(verdict, "a").reason == reason
    assert verdict.effects == ()


def test_a_champion_that_has_seen_every_row_by_all_that_is_known_asks_for_a_new_start() -> None:
    found = met(scores(candidate=(1.0, 1.0), mean=(3.0, 3.0)), fresh_rows=0, split_known=False)
    verdict = judged(CHAMPION, found, Evidence(paired=BlockSums(40, 2)))
    assert verdict.outcome == "insufficient evidence"
    assert only(verdict, "a").reason.startswith("0 test rows are new to the champion")
    assert '--rebaseline "why"' in only(verdict, "a").reason


def test_where_doubt_may_pass_the_baselines_still_judge_what_was_not_compared() -> None:
    found = met(scores(candidate=(1.0, 1.0), mean=(3.0, 0.5)), fresh_rows=0)
    evidence = Evidence(paired=BlockSums(40, 2))
    verdict = judged(CHAMPION, found, evidence, gate={"insufficient": "pass"})
    assert verdict.outcome == "fail"
    assert only(verdict, "b").unsure
    assert [r.target for r in verdict.rulings if not r.passed and not r.unsure] == ["b"]


def test_a_few_groups_are_insufficient_evidence_however_many_rows_they_have() -> None:
    found = met(BOTH, order="group")
    verdict = judged(CHAMPION, found, by_chance(0.5, blocks=7))
    assert only(verdict, "a").reason == "7 groups, and at least 8 are needed"
    assert verdict.outcome == "insufficient evidence"


def test_a_target_of_another_unit_is_judged_by_the_baselines_and_says_why() -> None:
    words = "b was in hPa, and is in Pa"
    parted = Difference(kind="unit", name="b", words=words, parts=True)
    found = met(
        scores(candidate=(0.9, 5.0), champion=(1.0, None), mean=(9.0, 4.0)),
        shared=("a",),
        differences=(parted,),
    )
    verdict = judged(CHAMPION, found)
    assert only(verdict, "b").reason == f"{words}; the baselines decide"
    assert [r.rule for r in verdict.rulings if not r.passed] == ["rmse below mean"]


def test_a_new_start_is_judged_by_the_baselines_and_its_reason_is_kept() -> None:
    gate = {"rebaseline": "another station"}
    worse = scores(candidate=(2.0, 2.0), champion=(1.0, 1.0), mean=(3.0, 3.0))
    verdict = judged(CHAMPION, met(worse), gate=gate)
    assert verdict.outcome == "pass"
    assert verdict.rebaseline == "another station"
    assert verdict.rulings[0].reason == "a new start was asked for: another station"
    above = scores(candidate=(4.0, 2.0), champion=(1.0, 1.0), mean=(3.0, 3.0))
    assert judged(CHAMPION, met(above), gate=gate).outcome == "fail"


def test_a_recipe_is_not_compared_with_itself() -> None:
    found = met(scores(candidate=(1.0, 1.0), mean=(3.0, 3.0)), same_recipe=True, shared=())
    verdict = judged(CHAMPION, found, evaluation={"folds": 5})
    assert verdict.outcome == "pass"
    assert verdict.rulings[0].reason == (
        "the recipe is the champion's own, so that there is nothing to compare; "
        "the baselines decide"
    )


def test_folds_are_compared_by_how_much_they_differ() -> None:
    sums = BlockSums(5, 2)
    sums.sums[:2] = 100.0
    sums.sums[4:] = 100.0
    sums.sums[2] = 100.0 * np.array([[0.80, 0.82, 0.81, 0.79, 0.80], [1.0, 0.7, 1.4, 1.3, 0.8]])
    found = met(BOTH, order="folds")
    verdict = judged(CHAMPION, found, Evidence(paired=sums), evaluation={"folds": 5})
    assert only(verdict, "a").passed
    assert only(verdict, "b").unsure
    assert verdict.effects[0].ratio == pytest.approx(0.804**0.5, abs=1e-4)


def test_where_all_targets_are_minor_the_whole_only_warns() -> None:
    targets = {t: {"unit": "K", "tier": "minor"} for t in ("a", "b")}
    verdict = judged(CHAMPION, met(BOTH), targets=targets)
    assert not only(verdict, "all").passed
    assert verdict.outcome == "pass"


def test_two_rules_against_the_champion_may_name_each_their_targets() -> None:
    rules = [CHAMPION | {"targets": ["a"]}, CHAMPION | {"targets": ["b"], "metric": "mae"}]
    found = scores(candidate=(0.9, 1.5), champion=(1.0, 1.0))
    verdict = judge_scores(small_contract(gate={"rules": rules}), found, certain(found))
    failed = {(r.rule, r.target) for r in verdict.rulings if not r.passed}
    assert failed == {
        ("mae at most 2% above the champion's", "b"),
        ("mae below the champion's on a target or on the whole", "all"),
    }
