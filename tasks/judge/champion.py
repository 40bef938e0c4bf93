"""The rule against the champion: shown no worse on every target, and better on one or on the whole.

In: the sums of both models' errors by block, over rows that the champion has not seen. A target
holds where its interval ends within the margin, fails where it is shown to be worse than that,
and is unsure in between. A whole that only stays within the margin is not enough: such losses
would add up from night to night.
"""

import math
from dataclasses import dataclass

import numpy as np

from data_contracts.gate import ChampionRule
from tasks.judge.case import LEAST_ROWS, STILL, Case
from tasks.learning.paired import Effects, Paired, effects
from tasks.records import Effect, Ruling

ROUNDING = 1e-9


@dataclass(frozen=True)
class Comparison:
    """What came of one champion rule."""

    rulings: list[Ruling]
    effects: list[Effect]

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(self.rulings + other.rulings, self.effects + other.effects)

    @property
    def compared(self) -> list[str]:
        """The targets that have an effect on all rows."""
        return [e.target for e in self.effects if e.target != "all" and e.slice is None]


def champion(case: Case, rule: ChampionRule) -> Comparison:
    """Judge the candidate against the champion; silent where there is nothing to compare."""
    words = f"{rule.metric} at most {rule.margin:.0%} above {rival(case)}'s"
    targets = case.targets(rule.targets)
    known = [t for t in targets if t in _shared(case)]
    shared = [t for t in known if t not in case.still]
    why = _silence(case) or ("" if shared else STILL if known else _parted(case))
    if why:
        return Comparison([case.silent(words, "all", why)], [])
    rulings = [case.silent(words, t, _parted(case, t)) for t in targets if t not in known]
    rulings += [case.unmoved(words, t, rule.metric) for t in known if t in case.still]
    found = _compare(case, rule, shared)
    of = dict(zip(shared, found.targets, strict=True))
    rulings += [_no_worse(case, rule, words, target, e) for target, e in of.items()]
    rulings.append(_better(case, rule, of, found.joint))
    kept = {t: e for t, e in {**of, "all": found.joint}.items() if isinstance(e, Paired)}
    return Comparison(rulings, [_effect(case, target, e) for target, e in kept.items()])


def rival(case: Case) -> str:
    """Return the champion's name in a sentence: as of a day it is a version."""
    named = case.scores.opponent
    return f"the {named}" if named == "champion" else named


def _silence(case: Case) -> str:
    """Return why no champion is compared with at all, nothing where one is."""
    scores, facts = case.scores, case.scores.opponent_facts
    if case.contract.gate.rebaseline:
        return f"a new start was asked for: {case.contract.gate.rebaseline}"
    folds = case.contract.evaluation.folds is not None
    if folds and facts is not None and facts.same_recipe and not facts.shared:
        return (
            "the recipe is the champion's own, so that there is nothing to compare; "
            "the baselines decide"
        )
    if scores.champion_note:
        return f"{scores.champion_note}; the baselines decide"
    if facts is None and scores.champion is None and "champion" not in scores.models:
        none = f"no version is as old as {scores.as_of}" if scores.as_of else "there is no champion"
        return f"{none} yet; the baselines decide"
    return ""


def _shared(case: Case) -> set[str]:
    """Return the targets that both predict in one unit."""
    facts = case.scores.opponent_facts
    if facts is not None:
        return set(facts.shared)
    return {s.target for s in case.scores.scores if s.model == "champion"}


def _parted(case: Case, target: str | None = None) -> str:
    """Return why a target, or every target, is not compared with the champion's."""
    facts = case.scores.opponent_facts
    parts = [d for d in (facts.differences if facts else ()) if d.parts]
    told = [d.words for d in parts if target is None or d.name == target] or [
        f"{rival(case)} does not predict it"
    ]
    return f"{'; '.join(told)}; the baselines decide"


def _compare(case: Case, rule: ChampionRule, targets: list[str]) -> Effects:
    """Return the effects on the targets, or the reasons why the rows cannot tell."""
    sums, facts = case.evidence.paired, case.scores.opponent_facts
    if sums is None:
        missing = "the errors by block were not kept: evaluate anew"
        return Effects((missing,) * len(targets), missing)
    at = [list(case.contract.target_columns).index(t) for t in targets]
    candidate, other = sums.errors(rule.metric)
    found = effects(
        sums.weight[:, at],
        candidate[:, at],
        other[:, at],
        metric=rule.metric,
        order=facts.order if facts else "rows",
        margin=rule.margin,
        confidence=case.contract.gate.confidence,
        critical=[t in _decisive(case, targets) for t in targets],
        overlap=_overlap(case),
    )
    few = [_few(case, int(n)) for n in sums.rows[:, at].sum(axis=0)]
    told = tuple(f or e for f, e in zip(few, found.targets, strict=True))
    return Effects(told, next(filter(None, few), found.joint))


def _decisive(case: Case, targets: list[str]) -> list[str]:
    """Return the targets that a better whole is made of: the critical ones, if there are any."""
    return [t for t in targets if case.critical(t)] or targets


def _overlap(case: Case) -> float:
    """Return test rows over train rows, the mean over folds."""
    folds = [f.rows for f in case.scores.candidate.shards.folds]
    shares = [f["test"] / f["train"] for f in folds if f.get("test") and f.get("train")]
    return float(np.mean(shares)) if shares else 0.0


def _few(case: Case, rows: int) -> str:
    """Return why rows are too few to compare on, nothing where they suffice."""
    if rows >= LEAST_ROWS:
        return ""
    facts = case.scores.opponent_facts
    reason = f"{rows} test rows are new to {rival(case)}, and at least {LEAST_ROWS} are needed"
    if facts is None or facts.split_known:
        return reason
    return f'{reason}: it does not record which rows it has seen; --rebaseline "why" starts anew'


def _no_worse(
    case: Case, rule: ChampionRule, words: str, target: str, effect: Paired | str
) -> Ruling:
    if isinstance(effect, str):
        return case.unsure(words, target, effect)
    named = case.scores.opponent
    limit = 1 + rule.margin
    passed = effect.high <= limit * (1 + ROUNDING)
    own = case.beside("champion", target, rule.metric)
    other = case.scores.of("champion", target, rule.metric)
    errors = ""
    if own is not None and other is not None:
        errors = f"{case.told(own, target)}, {named} {case.told(other, target)}: "
    reason = f"{errors}{told(effect, case.contract.gate.confidence)}"
    found = case.ruling(words, target, passed, effect.high, limit, reason)
    unsure = not passed and effect.p_worse > level(case)
    return found.model_copy(update={"unsure": unsure})


def level(case: Case) -> float:
    """Return the level of a one-sided question: half of what an interval leaves out."""
    return (1 - case.contract.gate.confidence) / 2


def _better(
    case: Case, rule: ChampionRule, of: dict[str, Paired | str], joint: Paired | str
) -> Ruling:
    """Judge that one target or the whole is better: a tie does not promote.

    It fails where the whole is shown not to be better, or all targets are shown to lie within
    the margin either way.
    """
    words = f"{rule.metric} below {rival(case)}'s on a target or on the whole"
    decisive = _decisive(case, list(of))
    known = {t: e for t in decisive if isinstance(e := of[t], Paired)}
    better = [t for t, e in known.items() if e.p_better <= level(case)]
    low, high = (joint.low, joint.high) if isinstance(joint, Paired) else (0.0, math.inf)
    passed = high < 1 or (bool(better) and low <= 1)
    tie = len(known) == len(decisive) and all(_within(e, rule.margin) for e in known.values())
    ends = [e.high for t, e in known.items() if t in better] + [high] * math.isfinite(high)
    found = case.ruling(
        words,
        "all",
        passed,
        value=min(ends, default=None),
        limit=1.0 if ends else None,
        reason=_whole(case, joint, better, rule.margin if tie and not passed else None),
        blocks=any(map(case.critical, decisive)),
    )
    return found.model_copy(update={"unsure": not (passed or tie or low >= 1)})


def _whole(case: Case, joint: Paired | str, better: list[str], tie: float | None) -> str:
    """Return the effect on the whole in words; `tie` is the margin that none goes beyond."""
    whole = joint
    if isinstance(joint, Paired):
        whole = f"on the whole {told(joint, case.contract.gate.confidence)}"
    if tie is not None:
        return f"a tie: no target differs by more than {tie:.0%}; {whole}"
    return f"{whole}; better on {', '.join(better)}" if better else str(whole)


def _within(effect: Paired, margin: float) -> bool:
    return effect.high <= 1 + margin and effect.low >= 1 / (1 + margin)


def told(effect: Paired, confidence: float) -> str:
    """Return an effect in words: the change, its interval, and the change that can be seen."""
    if effect.low == effect.high:
        return change(effect.ratio)
    level = f"{100 * confidence:g}%"
    ends = f"{level} interval {change(effect.low)} to {change(effect.high)}"
    seen = f"a change of {effect.detectable:.1%} can be seen"
    return f"{change(effect.ratio)} ({ends}; {seen})"


def change(ratio: float) -> str:
    """Return a ratio of errors as a change: `+3.0%`, and as `20 times` where it is large."""
    return f"{ratio - 1:+.1%}" if ratio < 10 else f"{ratio:.3g} times"


def _effect(case: Case, target: str, effect: Paired) -> Effect:
    columns, sums = list(case.contract.target_columns), case.evidence.paired
    rows = np.zeros(1) if sums is None else sums.rows.sum(axis=0)
    own = rows.max() if target == "all" else rows[columns.index(target)]
    return Effect(target=target, rows=int(own), **vars(effect))
