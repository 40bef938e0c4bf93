"""The verdict as Markdown: the outcome, ruling by ruling, and the effects behind them."""

from collections.abc import Iterator

from data_contracts.contract import Contract
from tasks.judge.champion import change
from tasks.records import Effect, Ruling, Verdict


def verdict_markdown(contract: Contract, verdict: Verdict) -> str:
    """Return the verdict: a row a ruling, failed ones first, then a row an effect."""
    lines = [
        f"# {contract.dataset}: {verdict.outcome}",
        "",
        "| | rule | target | numbers |",
        "| --- | --- | --- | --- |",
    ]
    for r in sorted(verdict.rulings, key=_rank):
        lines.append(f"| {'✘?⚠✔'[_rank(r)]} | {r.rule} | {r.target} | {r.reason} |")
    lines += _effects(contract, verdict)
    return "\n".join(lines)


def _rank(ruling: Ruling) -> int:
    if ruling.passed:
        return 3
    return 2 if not ruling.blocks else int(ruling.unsure)


def _effects(contract: Contract, verdict: Verdict) -> Iterator[str]:
    """Yield the paired test: by how much the errors differ, and how much these rows can tell."""
    if not verdict.effects:
        return
    level = f"{100 * contract.gate.confidence:g}%"
    yield from (
        "",
        f"## Against {_rival(verdict)}, on rows that it has not seen",
        "",
        f"| target | error | {level} interval | can be seen | rows | blocks |",
        "| --- | --- | --- | --- | --- | --- |",
    )
    for e in verdict.effects:
        ends = f"{change(e.low)} to {change(e.high)}"
        seen = f"a change of {e.detectable:.1%}"
        yield f"| {_name(e)} | {change(e.ratio)} | {ends} | {seen} | {e.rows:,} | {e.blocks:,} |"


def _name(effect: Effect) -> str:
    name = "the whole" if effect.target == "all" else effect.target
    return f"{name} in {effect.slice}" if effect.slice else name


def _rival(verdict: Verdict) -> str:
    named = verdict.scores.opponent
    return f"the {named}" if named == "champion" else named
