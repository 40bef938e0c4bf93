"""The verdict, rule by rule."""

from rich.console import Console
from rich.text import Text

from tasks.records import Ruling, Verdict

MOST_FAILED = 12
"""How many targets that fail a rule are told one by one; the report has all."""


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print the verdict rule by rule: what failed the most, or else the target nearest to it."""
    style = {"pass": "bold green", "needs approval": "bold yellow"}.get(verdict.outcome, "bold red")
    decided = f", {verdict.decided}" if verdict.decided else ""
    console.print(Text.assemble("Verdict: ", (verdict.outcome, style), decided, style="bold"))
    for rule in dict.fromkeys(r.rule for r in verdict.rulings):
        rulings = [r for r in verdict.rulings if r.rule == rule]
        failed = [r for r in rulings if not r.passed]
        silent = [r for r in rulings if r.passed and r.value is None and r.target != "all"]
        told = [r for r in rulings if r not in silent]
        held = f"  holds for {len(told) - len(failed)} of {len(told)}" if told else ""
        count = "" if rulings[0].target == "all" else held
        console.print(Text.assemble(" ", _mark(told, failed), " ", rule, (count, "dim")))
        lines = _failed(failed) if failed else _lines([min(told, key=_room)] if told else [])
        lines += [f"not judged: {line}" for line in _lines(silent)]
        for line in lines:
            console.print(f"     {line}", style="dim", markup=False)


def _failed(rulings: list[Ruling]) -> list[str]:
    """Return the reasons of what failed: of many the worst, and how many there are besides."""
    lines = _lines(rulings)
    if len(lines) <= MOST_FAILED:
        return lines
    worst = _lines(sorted(rulings, key=_room, reverse=True))[:MOST_FAILED]
    return [*worst, f"and {len(lines) - MOST_FAILED:,} more, which the report names"]


def _lines(rulings: list[Ruling]) -> list[str]:
    """Return the reasons, each once with the targets that it is of."""
    reasons = dict.fromkeys(r.reason for r in rulings)
    return [f"{_named([r for r in rulings if r.reason == why])}{why}" for why in reasons]


def _named(rulings: list[Ruling]) -> str:
    """Return the targets of rulings before a colon: the first, and how many there are beside it."""
    first, more = rulings[0].target, len(rulings) - 1
    others = f" and {more} more" if more else ""
    return "" if first == "all" else f"{first}{others}: "


def _room(ruling: Ruling) -> float:
    """Return how far a value is from its limit, as a share of the limit."""
    if ruling.value is None or not ruling.limit:
        return float("inf")
    return abs(1 - ruling.value / ruling.limit)


def _mark(told: list[Ruling], failed: list[Ruling]) -> Text:
    if not told:
        return Text("–", style="dim")
    if not failed:
        return Text("✔", style="green")
    blocking = [r for r in failed if r.blocks]
    if not blocking:
        return Text("⚠", style="yellow")
    if all(r.unsure for r in blocking):  # the test rows cannot tell
        return Text("?", style="bold yellow")
    return Text("✘", style="bold red")
