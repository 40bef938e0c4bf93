"""The rule on intervals: they hold as many of the truths as they claim to."""

import math

from data_contracts.gate import CalibrationRule
from tasks.judge.case import LEAST_ROWS, Case
from tasks.records import Ruling, Score


def calibration(case: Case, rule: CalibrationRule) -> list[Ruling]:
    """Judge the share of truths within each target's intervals.

    A share outside of the limits fails where chance does not explain it; else the test rows cannot
    tell. Chance is the wider of that of independent rows (Wilson 1927) and that of clusters of
    rows, which hang together in time or by group.
    """
    return [_calibration(case, rule, target) for target in case.targets(rule.targets)]


def _calibration(case: Case, rule: CalibrationRule, target: str) -> Ruling:
    words = (
        f"{rule.level:.0%} intervals hold {rule.level:.0%} of truths within {_points(rule.within)}"
    )
    own = [s for s in case.scores.scores if (s.model, s.target) == ("candidate", target)]
    known = [(s.rows, c) for s in own if (c := _coverage(s, rule.level)) is not None]
    rows = sum(n for n, _ in known)
    if not known:
        reason = f"there is no interval of {rule.level:.0%}: the calibration rows are too few"
        return case.unsure(words, target, reason)
    if rows < LEAST_ROWS:
        reason = f"{rows} test rows, and at least {LEAST_ROWS} are needed"
        return case.unsure(words, target, reason)
    share = sum(n * c for n, c in known) / rows
    low, high = _chance(case, rule.level, target, share, rows)
    level = f"{100 * case.contract.gate.confidence:g}%"
    reason = f"{share:.1%} of {rows:,} truths inside ({level} interval {low:.1%} to {high:.1%})"
    off = abs(share - rule.level)
    # Rounded: 0.92 - 0.9 is above 0.02.
    passed = round(off, 12) <= rule.within
    found = case.ruling(words, target, passed, off, rule.within, reason)
    told = high < rule.level - rule.within or low > rule.level + rule.within
    return found if passed or told else found.model_copy(update={"unsure": True})


def _coverage(score: Score, level: float) -> float | None:
    """Return a fold's coverage at a level, None where it has no such intervals."""
    shape = score.distribution
    if shape is None or level not in shape.levels:
        return None
    found = shape.coverage[shape.levels.index(level)]
    return None if math.isnan(found) else found


def _chance(case: Case, level: float, target: str, share: float, rows: int) -> tuple[float, float]:
    """Return the interval of a share, as wide as the rows' hanging together asks for."""
    from scipy.stats import t as student

    confidence = case.contract.gate.confidence
    low, high = wilson(share, rows, confidence)
    for found in case.scores.coverage_errors:
        if (found.target, found.level) == (target, level):
            half = float(student.ppf((1 + confidence) / 2, found.clusters - 1)) * found.error
            low, high = min(low, share - half), max(high, share + half)
    return max(low, 0.0), min(high, 1.0)


def wilson(share: float, rows: int, confidence: float) -> tuple[float, float]:
    """Return the interval of a share that was found in independent rows (Wilson 1927)."""
    from scipy.special import ndtri

    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = math.sqrt(z2 * (share * (1 - share) / rows + z2 / (4 * rows**2))) / (1 + z2 / rows)
    return middle - half, middle + half


def _points(share: float) -> str:
    return f"{100 * share:g} {'point' if share == 0.01 else 'points'}"
