"""The verdict in words: one sentence, what decided it, and the rulings rule by rule.

In: a Publication. Out: small frozen views for the page.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tasks.records import Publication, Ruling, Verdict

State = Literal["failed", "unsure", "warns", "holds", "silent"]
Tone = Literal["good", "bad", "open"]

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
    """Say how a ruling stands: it blocks, the rows cannot tell, it warns, it holds, or it has
    nothing to judge."""
    if ruling.unsure:
        return "unsure"
    if not ruling.passed:
        return "failed" if ruling.blocks else "warns"
    return "silent" if ruling.value is None or ruling.limit is None else "holds"


def tone(publication: Publication) -> Tone:
    """Say whether the news is good, bad, or not decided yet."""
    verdict = publication.verdict
    if publication.version is not None:
        return "good"
    if publication.held is not None:
        return "bad"
    rejected = verdict.approval is not None and verdict.approval.decision == "rejected"
    return "bad" if rejected or verdict.outcome in ("pass", "fail") else "open"


def sentence(publication: Publication) -> tuple[str, str]:
    """Return the verdict's word and what follows from it, the two halves of one sentence."""
    verdict = publication.verdict
    approval = verdict.approval
    if publication.version is not None:
        decided = f", {verdict.decided}" if verdict.decided else ""
        return _word(verdict), f"{_published(publication)}{decided}."
    if publication.held is not None:
        number, why = publication.held.version, publication.held.reason
        return _word(verdict), f"yet version {number} is held and the champion stays: {why}."
    if approval and approval.decision == "rejected":
        return _word(verdict), f"nothing was published, because it was {verdict.decided}."
    if verdict.outcome == "pass" or approval:
        return _word(verdict), "yet no version was registered."
    return _word(verdict), f"nothing was published, because {_cause(verdict)}."


def _published(publication: Publication) -> str:
    version = f"{publication.model} version {publication.version}"
    before = publication.verdict.scores.champion
    if publication.as_of:
        return f"{version} is kept, as of {publication.as_of}; the champion stays"
    place = f" in place of version {before}" if before else ", its first champion"
    if before == publication.version:
        place = ", as before"
    return f"{version} is champion{place}"


def _word(verdict: Verdict) -> str:
    if verdict.approval:
        return {"approved": "Approved", "rejected": "Rejected"}[verdict.approval.decision]
    return {
        "pass": "Passed",
        "fail": "Failed",
        "insufficient evidence": "Insufficient evidence",
        "needs approval": "Needs approval",
    }[verdict.outcome]


def _cause(verdict: Verdict) -> str:
    if verdict.outcome == "needs approval":
        return "it waits for approval"
    if verdict.outcome == "insufficient evidence":
        unsure = [r for r in verdict.rulings if state(r) == "unsure" and r.blocks]
        return f"the evidence does not suffice{_named(unsure)}"
    failed = [r for r in verdict.rulings if state(r) == "failed"]
    of = f"{len(failed)} of {len(verdict.rulings)} rulings"
    return f"{of} {'does' if len(failed) == 1 else 'do'} not hold{_named(failed)}"


def _named(rulings: Iterable[Ruling]) -> str:
    """Return the first targets of rulings in brackets, nothing where they name none."""
    where = list(dict.fromkeys(r.target for r in rulings if r.target != "all"))
    more = f" and {len(where) - NAMED} more" if len(where) > NAMED else ""
    return f" ({', '.join(where[:NAMED])}{more})" if where else ""


def deciding(verdict: Verdict) -> list[RulingView]:
    """Return the rulings that decided, in this order: those that failed and those that
    cannot be told, furthest from their limit first; of each other rule the closest call."""
    views = [RulingView(state(r), r) for r in verdict.rulings]
    failed = [v for v in views if v.state == "failed"]
    unsure = [v for v in views if v.state == "unsure" and v.ruling.blocks]
    told = {v.ruling.rule for v in (*failed, *unsure)}
    by_rule = _by_rule(v for v in views if v.state == "holds" and v.ruling.blocks)
    closest = [min(h, key=lambda v: _room(v.ruling)) for r, h in by_rule.items() if r not in told]
    return [
        *sorted(failed, key=lambda v: -_room(v.ruling)),
        *sorted(unsure, key=lambda v: -_room(v.ruling)),
        *sorted(closest, key=lambda v: _room(v.ruling)),
    ]


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
    bad = [v for v in ordered if v.state in ("failed", "unsure", "warns")]
    good = [v for v in ordered if v.state == "holds"]
    silent = [v for v in ordered if v.state == "silent"]
    shown = (*bad[:MOST_FAILED], *good[:MOST_HELD], *silent[:MOST_HELD])
    asked, none = len(good) + len(bad), f"; {len(silent)} with nothing to judge" if silent else ""
    return RuleView(
        rule=rule,
        state=ordered[0].state,
        summary=f"holds for {len(good)} of {asked}{none}" if asked else "nothing to judge",
        rulings=shown,
        left_out=len(rulings) - len(shown),
    )


def _by_rule(views: Iterable[RulingView]) -> dict[str, list[RulingView]]:
    found: dict[str, list[RulingView]] = {}
    for view in views:
        found.setdefault(view.ruling.rule, []).append(view)
    return found


def _rank(of: State) -> int:
    return ("failed", "unsure", "warns", "holds", "silent").index(of)


def _room(ruling: Ruling) -> float:
    """Return how far a value is from its limit, as a share of the limit."""
    if ruling.value is None or not ruling.limit:
        return float("inf")
    return abs(1 - ruling.value / ruling.limit)
