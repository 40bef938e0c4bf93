"""The verdict in words: one sentence, what decided it, and the rulings rule by rule.

In: a Publication. Out: small frozen views for the page.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tasks.records import Publication, Ruling, Verdict

State = Literal["failed", "warns", "holds", "silent"]

MOST_FAILED = 100
MOST_HELD = 20
"""The most rulings of one rule that are written out; the rest are counted."""
NAMED = 3
"""The most targets that the sentence names."""


@dataclass(frozen=True)
class RulingView:
    """One ruling and how it stands."""

    state: State
    ruling: Ruling


@dataclass(frozen=True)
class RuleView:
    """One rule: its state, its rulings with failed ones first, and how many are left out."""

    rule: str
    state: State
    summary: str
    rulings: tuple[RulingView, ...]
    left_out: int


def state(ruling: Ruling) -> State:
    """Say how a ruling stands: it blocks, it warns, it holds, or it has nothing to judge."""
    if not ruling.passed:
        return "failed" if ruling.blocks else "warns"
    return "silent" if ruling.value is None or ruling.limit is None else "holds"


def sentence(publication: Publication) -> tuple[str, str]:
    """Return the verdict's word and what follows from it, the two halves of one sentence."""
    verdict = publication.verdict
    before = verdict.scores.champion
    if publication.version is not None and publication.as_of:
        kept = f"{publication.model} version {publication.version} is kept"
        return _word(verdict), f"{kept}, as of {publication.as_of}; the champion stays."
    if publication.version is not None:
        place = f" in place of version {before}" if before else ", its first champion"
        if before == publication.version:
            place = ", as before"
        return _word(
            verdict
        ), f"{publication.model} version {publication.version} is champion{place}."
    if verdict.outcome == "pass":
        return _word(verdict), "yet no version was registered."
    return _word(verdict), f"nothing was published, because {_cause(verdict)}."


def _word(verdict: Verdict) -> str:
    return {
        "pass": "Passed",
        "fail": "Failed",
        "insufficient evidence": "Insufficient evidence",
        "needs approval": "Needs approval",
    }[verdict.outcome]


def _cause(verdict: Verdict) -> str:
    failed = [r for r in verdict.rulings if state(r) == "failed"]
    if not failed:
        return (
            "it waits for approval"
            if verdict.outcome == "needs approval"
            else ("the evidence does not suffice")
        )
    where = list(dict.fromkeys(r.target for r in failed if r.target != "all"))
    named = ", ".join(where[:NAMED]) + (f" and {len(where) - NAMED} more" * (len(where) > NAMED))
    of = f"{len(failed)} of {len(verdict.rulings)} rulings"
    return f"{of} {'does' if len(failed) == 1 else 'do'} not hold{f' ({named})' if named else ''}"


def deciding(verdict: Verdict) -> list[RulingView]:
    """Return the rulings that decided: those that failed, else each rule's closest call."""
    views = [RulingView(state(r), r) for r in verdict.rulings]
    failed = [v for v in views if v.state == "failed"]
    if failed:
        return failed
    by_rule = _by_rule(v for v in views if v.state == "holds" and v.ruling.blocks)
    return [min(held, key=lambda v: _room(v.ruling)) for held in by_rule.values()]


def warnings(verdict: Verdict) -> list[RulingView]:
    """Return the rulings that failed without blocking."""
    return [RulingView("warns", r) for r in verdict.rulings if state(r) == "warns"]


def rules(verdict: Verdict) -> list[RuleView]:
    """Return the rules, those that failed first, each with its rulings in the same order."""
    by_rule = _by_rule(RulingView(state(r), r) for r in verdict.rulings)
    views = [_rule(rule, rulings) for rule, rulings in by_rule.items()]
    return sorted(views, key=lambda v: _rank(v.state))


def _rule(rule: str, rulings: list[RulingView]) -> RuleView:
    ordered = sorted(rulings, key=lambda v: (_rank(v.state), _room(v.ruling)))
    bad = [v for v in ordered if not v.ruling.passed]
    good = [v for v in ordered if v.ruling.passed]
    shown = (*bad[:MOST_FAILED], *good[:MOST_HELD])
    silent = all(v.state == "silent" for v in rulings)
    return RuleView(
        rule=rule,
        state=ordered[0].state,
        summary="nothing to judge" if silent else f"holds for {len(good)} of {len(rulings)}",
        rulings=shown,
        left_out=len(rulings) - len(shown),
    )


def _by_rule(views: Iterable[RulingView]) -> dict[str, list[RulingView]]:
    found: dict[str, list[RulingView]] = {}
    for view in views:
        found.setdefault(view.ruling.rule, []).append(view)
    return found


def _rank(of: State) -> int:
    return ("failed", "warns", "holds", "silent").index(of)


def _room(ruling: Ruling) -> float:
    """Return how far a value is from its limit, as a share of the limit."""
    if ruling.value is None or not ruling.limit:
        return float("inf")
    return abs(1 - ruling.value / ruling.limit)
