"""The rules on what the candidate costs or breaks, and on how long a champion stays."""

from datetime import UTC, datetime

from data_contracts.gate import AgeRule, ConstraintsRule, LatencyRule, SizeRule
from data_contracts.split import seconds
from tasks.judge.case import Case
from tasks.records import Ruling
from tasks.wording import rows_of

DAY = 86_400


def size(case: Case, rule: SizeRule) -> Ruling:
    """Judge the published model's size."""
    words = f"at most {rule.at_most:g} MB on disk"
    cost = case.scores.cost
    if cost is None:
        return case.unsure(words, "all", "the model's size was not measured")
    value = cost.megabytes
    reason = f"{value:.3g} MB, limit {rule.at_most:g} MB"
    return case.ruling(words, "all", value <= rule.at_most, value, rule.at_most, reason)


def latency(case: Case, rule: LatencyRule) -> Ruling:
    """Judge how long the published model takes to answer."""
    words = f"{rule.quantile} of {rows_of(rule.rows)} at most {rule.at_most:g} ms"
    cost = case.scores.cost
    value = cost.milliseconds.get(f"{rule.quantile}/{rule.rows}") if cost else None
    if value is None:
        return case.unsure(words, "all", "the model's answers were not timed")
    reason = f"{value:.3g} ms, limit {rule.at_most:g} ms, on the machine that evaluated"
    return case.ruling(words, "all", value <= rule.at_most, value, rule.at_most, reason)


def age(case: Case, rule: AgeRule) -> Ruling:
    """Judge how long ago the champion was trained; silent where none is to be replaced."""
    words = f"champion trained at least {rule.at_least} ago"
    facts = case.scores.opponent_facts
    if case.scores.as_of is not None:
        return case.silent(words, "all", "as of a past day no champion is replaced")
    if case.contract.gate.rebaseline:
        return case.silent(words, "all", "a new start was asked for")
    if facts is None or facts.trained is None:
        none = "there is no champion yet" if facts is None else "the champion's age is not known"
        return case.silent(words, "all", none)
    limit = seconds(rule.at_least) / DAY
    trained = datetime.fromisoformat(facts.trained)
    trained = trained if trained.tzinfo else trained.replace(tzinfo=UTC)
    value = (case.evidence.now - trained).total_seconds() / DAY
    reason = f"version {facts.version} was trained {value:.1f} days ago, limit {limit:.3g} days"
    return case.ruling(words, "all", value >= limit, value, limit, reason)


def constraints(case: Case, rule: ConstraintsRule) -> list[Ruling]:
    """Judge each constraint that names a target; it blocks where one of them is critical."""
    columns, rulings = case.contract.target_columns, []
    for constraint in case.contract.constraints:
        own = [c for c in constraint.columns if c in columns]
        if own:
            blocks = any(case.critical(c) for c in own)
            rulings.append(_constraint(case, rule, constraint.holds, blocks))
    return rulings


def _constraint(case: Case, rule: ConstraintsRule, constraint: str, blocks: bool) -> Ruling:
    scores = case.scores
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
