"""The rules on a target's error: against a fixed limit, and against a baseline."""

from collections.abc import Iterable

from data_contracts.gate import UNITLESS, AbsoluteRule, BaselineRule
from tasks.judge.case import LEAST_ROWS, STILL, Case
from tasks.records import Metric, Ruling

MANY = 10
"""From how many times a baseline's error on it is told as times, and no longer in percent."""


def absolute(case: Case, rule: AbsoluteRule) -> list[Ruling]:
    """Judge a metric of each target, on all test rows or in one slice, against its limit."""
    return [_absolute(case, rule, target) for target in case.targets(rule.targets)]


def _absolute(case: Case, rule: AbsoluteRule, target: str) -> Ruling:
    at_most = rule.at_most is not None
    limit = rule.at_most if rule.at_most is not None else rule.at_least
    assert limit is not None  # the contract holds one of the two
    name = f"{rule.metric} of either sign" if rule.metric == "bias" else rule.metric
    words = f"{name} {'at most' if at_most else 'at least'} {limit:g}{_where(rule.slice)}"
    few = _few(case, rule.slice, target)
    if few:
        return case.unsure(words, target, few)
    value = _value(case, rule.metric, rule.slice, target)
    if value is None and target in case.still:
        return case.silent(words, target, STILL)
    if value is None:
        reason = f"{rule.metric} is undefined: {_why(case, rule.metric, target)}"
        return case.ruling(words, target, False, None, limit, reason)
    passed = value <= limit if at_most else value >= limit
    unit = "" if rule.metric in UNITLESS else f" {case.unit(target)}".rstrip()
    reason = f"{rule.metric} {value:.4g}{unit}, limit {limit:g}{unit}"
    return case.ruling(words, target, passed, value, limit, reason)


def _value(case: Case, metric: Metric, part: str | None, target: str) -> float | None:
    """Return the candidate's metric: the mean over folds, but the greatest of greatest errors."""
    if part is not None:
        own = case.slices[part, target]
        return own.mae if metric == "mae" else own.rmse
    if metric == "max_error":
        own_scores = [s for s in case.scores.scores if (s.model, s.target) == ("candidate", target)]
        return max((s.max_error for s in own_scores), default=None)
    found = case.scores.of("candidate", target, metric)
    return abs(found) if found is not None and metric == "bias" else found


def _why(case: Case, metric: Metric, target: str) -> str:
    own = [s for s in case.scores.scores if (s.model, s.target) == ("candidate", target)]
    if metric == "r2":
        return next(
            (s.r2_note for s in own if s.r2_note), "the truth does not vary in the test rows"
        )
    if metric == "correlation":
        return "truth or prediction does not vary in the test rows"
    return "there is nothing to compute it from"


def baseline(case: Case, rule: BaselineRule) -> list[Ruling]:
    """Judge each target's error against a baseline's on the rows that both answer."""
    return [_baseline(case, rule, target) for target in case.targets(rule.targets)]


def _baseline(case: Case, rule: BaselineRule, target: str) -> Ruling:
    words = baseline_words(rule) + _where(rule.slice)
    if target in case.still:
        return case.unmoved(words, target, rule.metric)
    few = _few(case, rule.slice, target)
    if few:
        return case.unsure(words, target, few)
    value, other = _both(case, rule, target)
    if value is None or other is None:
        reason = f"{rule.baseline} has nothing to say of this target"
        return case.ruling(words, target, True, value, None, reason, blocks=False)
    limit = other * (1 - rule.by)
    passed = value < limit if rule.by == 0 else value <= limit
    way = "below" if value <= other else "above"
    change = f"{abs(1 - value / other):.1%} {way}" if other else "against"
    if other and value / other >= MANY:
        change = f"{value / other:.3g} times"
    told = case.told(other, target)
    reason = f"{case.told(value, target)}, {change} {rule.baseline}'s {told}"
    return case.ruling(words, target, passed, value, limit, reason)


def _both(case: Case, rule: BaselineRule, target: str) -> tuple[float | None, float | None]:
    """Return the candidate's error and the baseline's."""
    if rule.slice is None:
        other = case.scores.of(rule.baseline, target, rule.metric)
        return case.beside(rule.baseline, target, rule.metric), other
    own = case.slices[rule.slice, target]
    if rule.metric == "mae":
        return own.mae, own.others_mae.get(rule.baseline)
    return own.rmse, own.others.get(rule.baseline)


def baseline_words(rule: BaselineRule) -> str:
    """Return what a rule asks for: `rmse at least 10% below ridge`."""
    if rule.by == 0:
        return f"{rule.metric} below {rule.baseline}"
    how, side = ("least", "below") if rule.by > 0 else ("most", "above")
    return f"{rule.metric} at {how} {abs(rule.by):.0%} {side} {rule.baseline}"


def _where(part: str | None) -> str:
    return f" in {part}" if part else ""


def _few(case: Case, part: str | None, target: str) -> str:
    """Return why a slice cannot be judged, nothing where it can or all rows are meant."""
    if part is None:
        return ""
    own = case.slices.get((part, target))
    if own is None:
        return f"no test row with {target} lies in {part}"
    if own.rows < LEAST_ROWS:
        return f"{own.rows} test rows lie in {part}, and at least {LEAST_ROWS} are needed"
    return ""


DEFAULT = (
    BaselineRule(rule="baseline", baseline="mean"),
    BaselineRule(rule="baseline", baseline="persistence"),
)


def unjudged(case: Case, judged: Iterable[str]) -> list[Ruling]:
    """Judge by train mean and persistence each target whose error no rule has judged.

    So a target is never waved through for want of a champion that predicts it.
    """
    left = [t for t in case.contract.target_columns if t not in set(judged)]
    return [
        r
        for t in left
        if case.scores.of("candidate", t, "rmse") is not None
        for r in _by_default(case, t)
    ]


def _by_default(case: Case, target: str) -> list[Ruling]:
    rules = [r for r in DEFAULT if case.scores.of(r.baseline, target, r.metric) is not None]
    if rules:
        return [_baseline(case, rule, target) for rule in rules]
    words = baseline_words(DEFAULT[0])
    ratio = case.scores.of("candidate", target, "rrmse")
    if ratio is None:
        reason = "no rule can judge this target: give evaluation.baselines the mean"
        return [case.unsure(words, target, reason)]
    reason = f"rmse {ratio:.4g} times that of the train mean, limit 1"
    return [case.ruling(words, target, ratio < 1, ratio, 1.0, reason)]
