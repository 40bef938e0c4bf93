"""Slices in which the candidate is shown to be worse than the champion: told, and never blocking.

A model that is no worse on the whole may have become worse for one station or season. Whether
that matters is for a person, or for a rule on that slice, to say.
"""

from data_contracts.gate import ChampionRule
from tasks.judge.case import Case
from tasks.judge.champion import Comparison, change, level, rival
from tasks.learning.paired_slices import SliceEffect, slice_effects
from tasks.records import Effect, Ruling

MOST = 20
"""The most slices that are told."""


def worse_slices(case: Case, rule: ChampionRule, compared: list[str]) -> Comparison:
    """Return a warning for each slice that is shown to be worse on a compared target.

    Under cross-validation nothing is said: rows of all folds are no draws of their own.
    """
    facts = case.scores.opponent_facts
    folds = facts is not None and facts.order == "folds"
    if case.evidence.parts is None or not compared or folds:
        return Comparison([], [])
    names, sums = case.evidence.parts
    columns = list(case.contract.target_columns)
    at = [columns.index(t) for t in compared]
    found = slice_effects(names, sums[..., at], rule.margin, case.contract.gate.confidence)
    harmed = sorted((e for e in found if e.p_worse <= level(case)), key=lambda e: -e.low)[:MOST]
    words = f"rmse at most {rule.margin:.0%} above {rival(case)}'s in each slice"
    if not harmed:
        reason = f"none of {len(found):,} slices and targets is shown to be worse"
        return Comparison([case.silent(words, "all", reason)], [])
    pairs = [(compared[e.target], e) for e in harmed]
    rulings = [_warning(case, words, 1 + rule.margin, t, e) for t, e in pairs]
    effects = [Effect.model_validate(vars(e) | {"target": t}) for t, e in pairs]
    return Comparison(rulings, effects)


def _warning(case: Case, words: str, limit: float, target: str, effect: SliceEffect) -> Ruling:
    confidence = f"{100 * case.contract.gate.confidence:g}%"
    ends = f"{change(effect.low)} to {change(effect.high)}"
    reason = f"{change(effect.ratio)} ({confidence} interval {ends}) on {effect.rows:,} test rows"
    where = f"{target} in {effect.slice}"
    return case.ruling(words, where, False, effect.low, limit, reason, blocks=False)
