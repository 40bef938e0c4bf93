"""Judge: every rule of the gate on every target it names, to pass or fail with its numbers.

In: a contract and Scores. Out: a Verdict with `verdict.json`. A verdict is data: one ruling per
rule and target, each with its value, its limit and a sentence.
"""

import math
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from data_contracts.gate import AbsoluteRule, BaselineRule, ChampionRule, ConstraintsRule, Rule
from tasks.orchestration import markdown, stage_task
from tasks.records import Outcome, Ruling, Scores, Verdict
from tasks.stage import Stage

TINY = 1e-300
"""Stands in for an error of nothing, so that a ratio is a number."""


def judge_scores(contract: Contract, scores: Scores) -> Verdict:
    """Return the verdict: fail where a ruling that blocks does not hold."""
    rulings = [r for rule in contract.gate.rules for r in _judge(contract, scores, rule)]
    rulings += _unanswered(contract, scores)
    blocked = any(r.blocks and not r.passed for r in rulings)
    outcome: Outcome = "fail" if blocked else "pass"
    return Verdict(scores=scores, outcome=outcome, rulings=tuple(rulings))


def _unanswered(contract: Contract, scores: Scores) -> list[Ruling]:
    """Return a failed ruling for each target that the candidate has no score on."""
    reason = "the candidate has no score on this target"
    return [
        _ruling(contract, "every target is answered", target, False, None, None, reason)
        for target in contract.target_columns
        if scores.of("candidate", target, "rmse") is None
    ]


def _judge(contract: Contract, scores: Scores, rule: Rule) -> list[Ruling]:
    targets = _targets(contract, rule)
    match rule:
        case AbsoluteRule():
            return [_absolute(contract, scores, rule, t) for t in targets]
        case BaselineRule():
            return [_baseline(contract, scores, rule, t) for t in targets]
        case ChampionRule():
            return _champion(contract, scores, rule, targets)
        case ConstraintsRule():
            return _constraints(contract, scores, rule)


def _targets(contract: Contract, rule: Rule) -> list[str]:
    """Return the target columns that a rule names, groups spread out; all where none."""
    if isinstance(rule, ConstraintsRule):
        return []
    groups = contract.groups()
    named = [c for name in rule.targets for c in groups.get(name, (name,))]
    return list(dict.fromkeys(named)) or list(contract.target_columns)


def _absolute(contract: Contract, scores: Scores, rule: AbsoluteRule, target: str) -> Ruling:
    value = scores.of("candidate", target, rule.metric)
    at_most = rule.at_most is not None
    limit = rule.at_most if rule.at_most is not None else rule.at_least
    words = f"{rule.metric} {'at most' if at_most else 'at least'} {limit:g}"
    if value is None or limit is None:
        reason = f"{rule.metric} is undefined: the truth does not vary in the test rows"
        return _ruling(contract, words, target, False, None, limit, reason)
    passed = value <= limit if at_most else value >= limit
    unit = "" if rule.metric == "r2" else f" {contract.target_columns[target].unit}"
    reason = f"{rule.metric} {value:.4g}{unit}, limit {limit:g}{unit}"
    return _ruling(contract, words, target, passed, value, limit, reason)


def _baseline(contract: Contract, scores: Scores, rule: BaselineRule, target: str) -> Ruling:
    value = scores.of("candidate", target, rule.metric)
    other = scores.of(rule.baseline, target, rule.metric)
    side = "below" if rule.by >= 0 else "above"
    words = (
        f"{rule.metric} below {rule.baseline}"
        if rule.by == 0
        else f"{rule.metric} at {'least' if rule.by > 0 else 'most'} {abs(rule.by):.0%} {side} "
        f"{rule.baseline}"
    )
    if value is None or other is None:
        reason = f"{rule.baseline} has nothing to say of this target"
        return _ruling(contract, words, target, True, value, None, reason, blocks=False)
    limit = other * (1 - rule.by)
    passed = value < limit if rule.by == 0 else value <= limit
    unit = contract.target_columns[target].unit
    way = "below" if value <= other else "above"
    change = f"{abs(1 - value / other):.1%} {way}" if other else "against"
    reason = f"{value:.4g} {unit}, {change} {rule.baseline}'s {other:.4g} {unit}"
    return _ruling(contract, words, target, passed, value, limit, reason)


def _champion(
    contract: Contract, scores: Scores, rule: ChampionRule, targets: list[str]
) -> list[Ruling]:
    """No target worse than the margin, and better on the whole: a tie does not promote.

    The whole is the geometric mean of the critical targets' ratios, which has no unit. Without
    it, a loss within the margin each night would add up.
    """
    named = scores.opponent
    rival = f"the {named}" if named == "champion" else named
    words = f"{rule.metric} at most {rule.margin:.0%} above {rival}'s"
    both = ("champion", "candidate")
    shared = [t for t in targets if None not in {scores.of(m, t, rule.metric) for m in both}]
    if not shared:
        none = f"no version is as old as {scores.as_of}" if scores.as_of else "there is no champion"
        reason = scores.champion_note or f"{none} yet"
        return [_ruling(contract, words, "all", True, None, None, reason, blocks=False)]
    rulings = []
    logs = []
    for target in shared:
        value = scores.of("candidate", target, rule.metric) or 0.0
        other = scores.of("champion", target, rule.metric) or 0.0
        unit = contract.target_columns[target].unit
        ratio = max(value, TINY) / max(other, TINY)
        if contract.target_columns[target].tier == "critical":
            logs.append(math.log(max(ratio, TINY)))
        limit = other * (1 + rule.margin)
        reason = f"{value:.4g} {unit}, {named} {other:.4g} {unit} ({ratio - 1:+.1%})"
        rulings.append(_ruling(contract, words, target, value <= limit, value, limit, reason))
    if not logs:
        return rulings
    whole = math.exp(sum(logs) / len(logs))
    words = f"{rule.metric} below {rival}'s on the whole"
    reason = f"the geometric mean of the targets' ratios to {rival} is {whole:.4f}"
    return [*rulings, _ruling(contract, words, "all", whole < 1, whole, 1.0, reason)]


def _constraints(contract: Contract, scores: Scores, rule: ConstraintsRule) -> list[Ruling]:
    """Judge each constraint that names a target; it blocks where one of them is critical."""
    columns, rulings = contract.target_columns, []
    for constraint in contract.constraints:
        tiers = {columns[c].tier for c in constraint.columns if c in columns}
        if tiers:
            blocks = "critical" in tiers
            rulings.append(_constraint(scores, rule, constraint.holds, blocks))
    return rulings


def _constraint(scores: Scores, rule: ConstraintsRule, constraint: str, blocks: bool) -> Ruling:
    broken, rows = scores.broken("candidate", constraint)
    others = {m: scores.broken(m, constraint) for m in scores.models if m != "candidate"}
    told = ", ".join(f"{m} in {found:,}" for m, (found, seen) in others.items() if seen)
    reason = "no test row has all of its features"
    if rows:
        reason = f"broken in {broken:,} of {rows:,} test rows, limit {rule.at_most:,}"
        reason += f" ({told})" if told else ""
    return Ruling(
        rule=f"each constraint broken in at most {rule.at_most:,} test rows",
        target=constraint,
        passed=broken <= rule.at_most,
        blocks=blocks and rows > 0,
        value=broken if rows else None,
        limit=rule.at_most if rows else None,
        reason=reason,
    )


def _ruling(
    contract: Contract,
    rule: str,
    target: str,
    passed: bool,
    value: float | None,
    limit: float | None,
    reason: str,
    blocks: bool = True,
) -> Ruling:
    columns = contract.target_columns
    minor = target in columns and columns[target].tier == "minor"
    return Ruling(
        rule=rule,
        target=target,
        passed=passed,
        blocks=blocks and not minor,
        value=value,
        limit=limit,
        reason=reason,
    )


def verdict_markdown(contract: Contract, verdict: Verdict) -> str:
    """Return the verdict as Markdown: the outcome, then one row a ruling, failed ones first."""
    lines = [
        f"# {contract.dataset}: {verdict.outcome}",
        "",
        "| | rule | target | numbers |",
        "| --- | --- | --- | --- |",
    ]
    for r in sorted(verdict.rulings, key=lambda r: r.passed):
        mark = "✔" if r.passed else ("✘" if r.blocks else "⚠")
        lines.append(f"| {mark} | {r.rule} | {r.target} | {r.reason} |")
    return "\n".join(lines)


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


@stage_task
def judge(contract: Contract, scores: Scores) -> Verdict:
    """Reach the verdict and show it."""
    verdict = STAGE.run(
        contract,
        scores.hash,
        work=lambda folder: write_verdict(judge_scores(contract, scores), folder),
    )
    markdown(contract.dataset, "verdict", verdict_markdown(contract, verdict), verdict.summary)
    return verdict
