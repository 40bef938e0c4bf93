"""A version's errors in a line: against the best baseline, and against the champion of then."""

from math import exp, log
from statistics import fmean

from tasks.records import Scores, Verdict

NO_BASELINES = ("candidate", "champion", "independent")


def against_baselines(scores: Scores) -> float | None:
    """Return by what share the candidate's RMSE differs from the best baseline's of each target.

    The geometric mean over the targets, on the rows that both answer; None without baselines.
    """
    ratios = []
    for target in dict.fromkeys(s.target for s in scores.scores):
        found = [_ratio(scores, model, target) for model in scores.models]
        known = [ratio for ratio in found if ratio is not None]
        if known:
            ratios.append(max(known))
    return exp(fmean(map(log, ratios))) - 1 if ratios else None


def _ratio(scores: Scores, model: str, target: str) -> float | None:
    """Return the candidate's RMSE over a baseline's; None where there is none to compare."""
    if model in NO_BASELINES:
        return None
    own = [s for s in scores.scores if (s.model, s.target) == (model, target)]
    pairs = [(s.candidate["rmse"], s.rmse) for s in own if s.candidate.get("rmse") and s.rmse]
    if not pairs:
        return None
    return fmean(mine for mine, _ in pairs) / fmean(other for _, other in pairs)


def against_champion(verdict: Verdict) -> str:
    """Return how its error differed from that of the version that it was compared with."""
    if verdict.rebaseline:
        return "a new start"
    rival = verdict.scores.champion
    if rival is None:
        return "no champion then"
    whole = next((e for e in verdict.effects if e.target == "all" and e.slice is None), None)
    if whole is None:
        return f"not compared with {rival}"
    return f"{whole.ratio - 1:+.1%} against {rival}"
