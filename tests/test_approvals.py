"""What people decide of candidates: kept once, for one verdict, and found by what they type."""

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from data_contracts.loading import load_contract
from flows.decision_page import decision_page
from flows.names import changes
from flows.suspended import note, suspended_with
from flows.waiting import NotWaiting, approval, newest_waiting, waiting
from tasks import approvals
from tasks.publish.tags import decision_tags, version_tags
from tasks.records import Effect, Publication, Ruling, Run, Score, Scores, Verdict
from tasks.report import reproduce
from tasks.storage import root_storage
from tests.builders import CANDIDATE, small_contract
from tests.walk import write_contract

CONTRACT = small_contract(gate={"approval": "manual"})


def verdict(number: int = 1, **changes: Any) -> Verdict:
    """Return a verdict that waits, and differs from those of other numbers."""
    scores = Scores(candidate=CANDIDATE, scores=(), hash=str(number) * 64)
    ruling = Ruling(
        rule="rmse below mean", target="a", passed=True, blocks=True, value=1, limit=2, reason="1 K"
    )
    own = {"scores": scores, "outcome": "needs approval", "rulings": (ruling,)}
    return Verdict(hash=str(number) * 64, **(own | changes))


def write_run(number: int, outcome: str = "waiting", flow_run: str | None = None) -> Run:
    """Write a run folder, as the report stage would, and return its record."""
    passed: dict[str, Any] = {"outcome": "pass"} if outcome == "published" else {}
    publication = Publication(
        verdict=verdict(number, **passed),
        model="small",
        version="1" if passed else None,
        tracking_run="12345678",
    )
    place = f"runs/small/2026112{number}T000000Z-aaaaaa"
    run = Run(
        id=place.rsplit("/", 1)[1],
        dataset="small",
        outcome=publication.outcome,
        publication=publication,
        flow_run=flow_run,
        place=place,
    )
    with root_storage().write(place) as work:
        (work.folder / "contract.json").write_text(CONTRACT.model_dump_json(), "utf-8")
        work.record = run.model_dump(mode="json")
    return run


def decide(run: Run, decision: str) -> None:
    approvals.decide(CONTRACT, run.publication.verdict, approval(decision, "ann", "because"))


# Decisions and verdicts


def test_a_verdict_that_nobody_decided_of_stays_as_it_is() -> None:
    assert approvals.settle(CONTRACT, verdict()) == verdict()
    assert approvals.find(CONTRACT, verdict()) == verdict()


@pytest.mark.parametrize(("decision", "outcome"), [("approve", "pass"), ("reject", "fail")])
def test_a_decision_settles_its_verdict_and_is_kept_with_it(decision: str, outcome: str) -> None:
    approvals.decide(CONTRACT, verdict(), approval(decision, " ann ", "the sensor moved"))
    assert approvals.find(CONTRACT, verdict()) is None
    settled = approvals.settle(CONTRACT, verdict())
    assert settled.outcome == outcome
    assert settled.approval is not None
    assert (settled.approval.by, settled.approval.reason) == ("ann", "the sensor moved")
    assert settled.hash != verdict().hash
    assert approvals.find(CONTRACT, verdict()) == settled
    kept = json.loads((root_storage().fetch(settled.place) / "verdict.json").read_text("utf-8"))
    assert kept["approval"]["by"] == "ann"


def test_the_first_decision_stays() -> None:
    first = approvals.decide(CONTRACT, verdict(), approval("reject", "ann", "no"))
    assert approvals.decide(CONTRACT, verdict(), approval("approve", "bob", "yes")) == first
    assert approvals.settle(CONTRACT, verdict()).outcome == "fail"


def test_a_decision_holds_for_its_verdict_alone() -> None:
    approvals.decide(CONTRACT, verdict(1), approval("approve", "ann", ""))
    assert approvals.settle(CONTRACT, verdict(2)).outcome == "needs approval"


def test_what_the_gate_decided_is_nobodys_to_change() -> None:
    failed = verdict(outcome="fail")
    approvals.decide(CONTRACT, failed, approval("approve", "ann", ""))
    assert approvals.settle(CONTRACT, failed) == failed


def test_the_tags_of_a_version_say_who_approved_and_why_a_new_start_was_made() -> None:
    approvals.decide(CONTRACT, verdict(), approval("approve", "ann", "x" * 2000))
    tags = decision_tags(approvals.settle(CONTRACT, verdict()))
    assert tags == {
        "polycast.outcome": "pass",
        "polycast.approved_by": "ann",
        "polycast.approval_reason": "x" * 1000,
    }
    assert decision_tags(verdict(rebaseline="new"))["polycast.rebaseline"] == "new"


def test_after_a_new_start_a_version_is_compared_with_none_that_it_put_aside() -> None:
    own = {"scores": Scores(candidate=CANDIDATE, scores=(), champion="3"), "outcome": "pass"}
    untimed = small_contract(time=None, features={"x": {}})
    tags = version_tags(untimed, verdict(**own), root_storage())
    assert tags["polycast.opponent"] == "3"
    tags = version_tags(untimed, verdict(**own, rebaseline="new"), root_storage())
    assert tags["polycast.opponent"] == ""


# Which run is meant


def test_a_run_is_found_by_its_id_its_dataset_and_its_flow_run() -> None:
    flow_run = "6745e308-71c8-4517-a427-fffbd6dc9be1"
    run = write_run(1, flow_run=flow_run)
    for name in (run.id, "small", flow_run):
        assert waiting(name, "approved") == run


def test_a_dataset_stands_for_its_newest_run_that_waits() -> None:
    write_run(1)
    newer = write_run(2)
    decided = write_run(3)
    decide(decided, "reject")
    assert waiting("small", "approved") == newer


def test_what_waited_before_the_newest_champion_is_not_meant_by_the_datasets_name() -> None:
    older = write_run(1)
    write_run(2, "published")
    assert newest_waiting("small") is None
    assert waiting(older.id, "approved") == older


def test_a_name_that_is_none_is_answered_with_those_that_wait() -> None:
    run = write_run(1)
    with pytest.raises(NotWaiting, match="x: expected the id of a run") as caught:
        waiting("x", "approved")
    assert f"small: decide by `polycast approve {run.id}`" in str(caught.value)


def test_a_run_that_does_not_wait_says_what_it_is() -> None:
    run = write_run(1, "published")
    with pytest.raises(NotWaiting, match="does not wait for approval: published"):
        waiting(run.id, "approved")


def test_a_decision_is_not_turned_round() -> None:
    run = write_run(1)
    decide(run, "reject")
    with pytest.raises(NotWaiting, match=r"was rejected by ann: because .* a decision stays"):
        waiting(run.id, "approved")


def test_a_decision_that_was_not_carried_out_may_be_made_again() -> None:
    run = write_run(1)
    decide(run, "approve")
    assert waiting(run.id, "approved") == run


def test_a_flow_run_knows_what_it_was_suspended_with() -> None:
    run = write_run(1)
    note(run, "6745e308-71c8-4517-a427-fffbd6dc9be1")
    found = suspended_with("6745e308-71c8-4517-a427-fffbd6dc9be1")
    assert found is not None
    assert found.publication == run.publication
    assert suspended_with("00000000-71c8-4517-a427-fffbd6dc9be1") is None


# What a person is shown and asked


def test_the_form_shows_the_numbers_and_what_does_not_hold() -> None:
    found = [
        Score(fold=0, model=m, target="a", rows=9, mae=v, rmse=v, r2=None, skill={})
        for m, v in (("candidate", 2.0), ("champion", 1.6))
    ]
    ruling = Ruling(
        rule="no worse than the champion", target="a|b", passed=False, blocks=True, unsure=True,
        value=1.25, limit=1.02, reason="+25 %",
    )  # fmt: skip
    own = {"scores": Scores(candidate=CANDIDATE, scores=tuple(found), champion="7")}
    run = write_run(1)
    page = decision_page(CONTRACT, _with(run, verdict(**own, rulings=(ruling,))))
    assert "in place of version 7?" in page
    assert "| a, K | 2 | +25.0% | 1.6 |" in page
    assert "| ? | no worse than the champion | a\\|b | +25 % |" in page
    assert f"polycast approve {run.id}" in page


def test_a_change_that_was_tested_is_shown_with_its_interval() -> None:
    effect = Effect(
        target="a", rows=9, blocks=9, ratio=0.9, low=0.85, high=0.96, detectable=0.03,
        p_worse=0.0, p_better=0.0,
    )  # fmt: skip
    page = decision_page(CONTRACT, _with(write_run(1), verdict(effects=(effect,))))
    assert "-10.0% (-15.0% to -4.0%)" in page


def test_the_form_says_that_the_champion_has_moved_only_where_it_has() -> None:
    run = write_run(1)
    assert "the champion has moved" not in decision_page(CONTRACT, run, before=run)
    assert "the champion has moved" in decision_page(CONTRACT, write_run(2), before=run)


def _with(run: Run, verdict: Verdict) -> Run:
    publication = run.publication.model_copy(update={"verdict": verdict})
    return run.model_copy(update={"publication": publication})


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ({"decision": "approve", "name": "ann"}, True),
        ({"decision": "reject", "name": "ann", "reason": "one is off"}, True),
        ({"decision": "reject", "name": "ann"}, False),
        ({"decision": "reject", "name": "ann", "reason": ""}, False),
        ({"decision": "approve", "name": " "}, False),
        ({"decision": "perhaps", "name": "ann"}, False),
        ({}, False),
    ],
)
def test_the_form_asks_for_a_decision_a_name_and_why_one_rejects(
    answer: dict[str, str], taken: bool
) -> None:
    from flows.form import Answer

    schema = Answer.with_initial_data(description="the numbers").model_json_schema()
    assert jsonschema.Draft202012Validator(schema).is_valid(answer) == taken


# A new start


@pytest.mark.parametrize("why", ['sensors: "new" # {all}', "données 🌡", "null", "1", "a\nb"])
def test_the_reason_of_a_new_start_is_kept_as_it_was_typed(tmp_path: Path, why: str) -> None:
    file = write_contract(tmp_path)
    contract = load_contract(str(file), changes(["recipe.epochs=5"], None, why))
    assert contract.gate.rebaseline == why
    assert contract.recipe.epochs == 5


def test_the_report_repeats_a_new_start_with_its_reason(tmp_path: Path) -> None:
    contract = small_contract(gate={"rebaseline": "it's new"})
    (tmp_path / "contract.json").write_text(contract.model_dump_json(), "utf-8")
    *words, file = shlex.split(reproduce(root_storage(), tmp_path))
    assert words == ["polycast", "retrain"]
    assert load_contract(file).gate.rebaseline == "it's new"
