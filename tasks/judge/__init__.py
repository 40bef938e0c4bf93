"""Judge: every rule of the gate on every target it names, to pass or fail with its numbers.

In: a contract and Scores, with their files. Out: a Verdict with `verdict.json`. A verdict is
data: one ruling per rule and target, each with its value, its limit and a sentence. A ruling
holds, fails, or is unsure where the test rows can show neither.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from data_contracts.gate import (
    AbsoluteRule,
    AgeRule,
    BaselineRule,
    CalibrationRule,
    ChampionRule,
    ConstraintsRule,
    LatencyRule,
    Rule,
    SizeRule,
)
from tasks.judge import costs, errors
from tasks.judge.calibration import calibration
from tasks.judge.case import Case, Evidence, read_evidence
from tasks.judge.champion import Comparison, champion
from tasks.judge.parts import worse_slices
from tasks.judge.words import verdict_markdown
from tasks.orchestration import markdown, stage_task
from tasks.records import Effect, Outcome, Ruling, Scores, Verdict
from tasks.stage import Stage

__all__ = [
    "STAGE",
    "Evidence",
    "find",
    "judge",
    "judge_scores",
    "reach_verdict",
    "verdict_markdown",
    "write_verdict",
]


def judge_scores(contract: Contract, scores: Scores, evidence: Evidence | None = None) -> Verdict:
    """Return the verdict on scores, by all rules of the gate."""
    case = Case(contract, scores, evidence or Evidence())
    rulings: list[Ruling] = []
    effects: dict[tuple[str, str | None], Effect] = {}
    judged: set[str] = set()
    for rule in contract.gate.rules:
        found = _judge(case, rule)
        rulings += found.rulings
        effects = {(e.target, e.slice): e for e in found.effects} | effects
        if _on_errors(rule):
            judged |= {r.target for r in found.rulings if _judged(case, r)}
    rulings += errors.unjudged(case, judged)
    rulings += _unanswered(case)
    rulings += _over_budget(case, rulings)
    return Verdict(
        scores=scores,
        outcome=_outcome(contract, rulings),
        rulings=tuple(rulings),
        effects=tuple(effects.values()),
        rebaseline=contract.gate.rebaseline,
    )


def _judge(case: Case, rule: Rule) -> Comparison:
    match rule:
        case AbsoluteRule():
            return Comparison(errors.absolute(case, rule), [])
        case BaselineRule():
            return Comparison(errors.baseline(case, rule), [])
        case ChampionRule():
            found = champion(case, rule)
            return found + worse_slices(case, rule, found.compared)
        case CalibrationRule():
            return Comparison(calibration(case, rule), [])
        case ConstraintsRule():
            return Comparison(costs.constraints(case, rule), [])
        case SizeRule():
            return Comparison([costs.size(case, rule)], [])
        case LatencyRule():
            return Comparison([costs.latency(case, rule)], [])
        case AgeRule():
            return Comparison([costs.age(case, rule)], [])


def _on_errors(rule: Rule) -> bool:
    """Say whether a rule judges a target's error on all test rows."""
    if isinstance(rule, AbsoluteRule | BaselineRule):
        return rule.slice is None
    return isinstance(rule, ChampionRule)


def _judged(case: Case, ruling: Ruling) -> bool:
    """Say whether a ruling has judged its target's error, or told why there is none to judge."""
    return ruling.value is not None or ruling.target in case.still


def _unanswered(case: Case) -> list[Ruling]:
    """Return a failed ruling for each target that the candidate has no score on."""
    reason = "the candidate has no score on this target"
    return [
        case.ruling("every target is answered", target, False, None, None, reason)
        for target in case.contract.target_columns
        if case.scores.of("candidate", target, "rmse") is None
    ]


def _over_budget(case: Case, rulings: list[Ruling]) -> list[Ruling]:
    """Return a failed ruling where more minor targets fail than the gate allows."""
    budget, columns = case.contract.gate.minor_budget, case.contract.target_columns
    if budget is None:
        return []
    failed = [r.target for r in rulings if not (r.passed or r.unsure) and r.target in columns]
    minor = list(dict.fromkeys(t for t in failed if not case.critical(t)))
    reason = f"{len(minor)} fail{': ' if minor else ''}{', '.join(minor)}"
    held = len(minor) <= budget
    words = f"at most {budget} minor targets fail"
    return [case.ruling(words, "minor targets", held, len(minor), budget, reason)]


def _outcome(contract: Contract, rulings: list[Ruling]) -> Outcome:
    """Return what follows: a failure decides, then doubt, then whether a person has a say."""
    gate = contract.gate
    blocking = [r for r in rulings if r.blocks and not r.passed]
    if any(not r.unsure for r in blocking):
        return "fail"
    if blocking and gate.insufficient == "block":
        return "insufficient evidence"
    if (blocking and gate.insufficient == "ask") or gate.approval == "manual":
        return "needs approval"
    return "pass"


def write_verdict(verdict: Verdict, folder: Path) -> Verdict:
    """Write `verdict.json` and return the verdict."""
    content = verdict.model_dump_json(indent=1, exclude={"scores"})
    (folder / "verdict.json").write_text(content, "utf-8")
    return verdict


def _reads(contract: Contract) -> Any:
    targets = {c: [t.tier, t.unit, t.group] for c, t in contract.target_columns.items()}
    constraints = [c.holds for c in contract.constraints]
    return [contract.gate.model_dump(mode="json"), targets, list(contract.targets), constraints]


STAGE = Stage("judge", "verdicts", Verdict, __name__, _reads)


def _inputs(contract: Contract, scores: Scores, now: datetime) -> list[str]:
    """Return what the stage's key covers: the scores, and how the rules that look at the clock
    rule now. A verdict stays for as long as these do, and a decision about it with it."""
    case = Case(contract, scores, Evidence(now=now))
    timed = [rule for rule in contract.gate.rules if isinstance(rule, AgeRule)]
    return [scores.hash, *(str(costs.age(case, rule).passed) for rule in timed)]


def find(contract: Contract, scores: Scores, now: datetime | None = None) -> Verdict | None:
    """Return the finished verdict on finished scores that still stands, or None."""
    return STAGE.find(contract, *_inputs(contract, scores, now or datetime.now(UTC)))


def reach_verdict(contract: Contract, scores: Scores, now: datetime) -> Verdict:
    """Return the verdict on finished scores, finished or reached now."""

    def work(folder: Path) -> Verdict:
        return write_verdict(judge_scores(contract, scores, read_evidence(scores, now)), folder)

    return STAGE.run(contract, *_inputs(contract, scores, now), work=work)


@stage_task
def judge(contract: Contract, scores: Scores) -> Verdict:
    """Reach the verdict and show it."""
    verdict = reach_verdict(contract, scores, datetime.now(UTC))
    markdown(contract.dataset, "verdict", verdict_markdown(contract, verdict), verdict.summary)
    return verdict
