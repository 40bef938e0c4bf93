"""Candidate against champion: every target's change of error, with its interval and the margin.

In: a contract and a Verdict. Out: small frozen views: a table whose rows hold each a strip of one
forest plot, all on the same axis. A change is the ratio of the two errors - 1: below 0 the
candidate is better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.contract import Contract
from data_contracts.gate import ChampionRule
from tasks.records import Difference, Effect, Opponent, Verdict
from tasks.report.numbers import percent, probability

MOST_ROWS = 60
"""The most effects that are written out: the whole, then those furthest from no change."""
WIDEST = 1.0
"""The largest change that the plot's axis reaches to; what lies beyond is cut off there."""
ALL = "all targets together"


@dataclass(frozen=True)
class Strip:
    """One row of the forest plot, in percent of the plot's width from the left."""

    point: float
    low: float
    high: float
    cut_low: bool
    """Whether the interval goes on beyond the left end."""
    cut_high: bool


@dataclass(frozen=True)
class Row:
    """One effect, as it is read."""

    target: str
    slice: str | None
    minor: bool
    words: str
    """What the interval says."""
    change: str
    interval: str
    detectable: str
    p_worse: str
    p_better: str
    rows: int
    blocks: int
    strip: Strip


@dataclass(frozen=True)
class Axis:
    """The forest plot's axis: its ticks with their places, and those of no change and margin."""

    ticks: tuple[tuple[float, str], ...]
    zero: float
    margin: float | None


@dataclass(frozen=True)
class Against:
    """What the section shows. `axis` is None where there are no effects."""

    metric: str
    asked: bool
    """Whether a rule of the gate asks for the comparison."""
    margin: str
    confidence: str
    order: str
    rows: tuple[Row, ...]
    effects: int
    axis: Axis | None
    opponent: Opponent | None
    fresh: str
    differences: tuple[Difference, ...]


ORDERS = {
    "time": "blocks of rows that follow one another in time",
    "group": "groups of rows",
    "rows": "single rows",
    "folds": "folds, with the variance corrected for the rows that they share",
}
"""What the paired test draws anew, in words."""


def against(contract: Contract, verdict: Verdict) -> Against | None:
    """Return the comparison with the champion, None where there is nothing to say of one."""
    opponent = verdict.scores.opponent_facts
    effects = _ordered(verdict.effects)
    if opponent is None and not effects:
        return None
    rule = next((r for r in contract.gate.rules if isinstance(r, ChampionRule)), None)
    margin = rule.margin if rule else None
    shown = effects[:MOST_ROWS]
    reach = _reach(shown, margin)
    return Against(
        metric=(rule.metric if rule else "rmse").upper(),
        asked=rule is not None,
        margin=percent(margin, sign=False),
        confidence=percent(contract.gate.confidence, 0, sign=False),
        order=ORDERS[opponent.order] if opponent else "",
        rows=tuple(_row(contract, e, margin, reach) for e in shown),
        effects=len(effects),
        axis=_axis(reach, margin) if shown else None,
        opponent=opponent,
        fresh=_fresh(opponent),
        differences=opponent.differences if opponent else (),
    )


def _ordered(effects: Sequence[Effect]) -> list[Effect]:
    """Return the whole first, then targets on all rows, then parts of the rows."""
    found = [e for e in effects if math.isfinite(e.ratio) and e.ratio > 0]
    if len(found) > MOST_ROWS:
        found.sort(key=lambda e: -abs(math.log(e.ratio)))
    return sorted(found, key=lambda e: (e.target != "all", e.slice is not None))


def _reach(effects: Sequence[Effect], margin: float | None) -> float:
    """Return the largest change on the axis, the same to both sides."""
    ends = [abs(v - 1) for e in effects for v in (e.ratio, e.low, e.high) if math.isfinite(v)]
    most = max([*ends, 1.5 * (margin or 0.0), 0.005])
    return min(WIDEST, 1.1 * most)


def _place(change: float, reach: float) -> float:
    return round(50 + 50 * min(1.0, max(-1.0, change / reach)), 2)


def _axis(reach: float, margin: float | None) -> Axis:
    step = _step(reach)
    count = int(reach / step + 1e-9)
    changes = [i * step for i in range(-count, count + 1)]
    decimals = max(0, -math.floor(math.log10(100 * step) + 1e-9))
    ticks = tuple((_place(c, reach), percent(c, decimals)) for c in changes)
    return Axis(ticks, 50.0, None if margin is None else _place(margin, reach))


def _step(reach: float) -> float:
    """Return a round step that divides each side into one or two parts."""
    size = 10.0 ** math.floor(math.log10(reach))
    return next(s for s in (size * 0.5, size, size * 2, size * 5) if reach / s < 3)


def _row(contract: Contract, effect: Effect, margin: float | None, reach: float) -> Row:
    target = contract.target_columns.get(effect.target)
    low, high = effect.low - 1, effect.high - 1
    return Row(
        target=ALL if effect.target == "all" else effect.target,
        slice=effect.slice,
        minor=target is not None and target.tier == "minor",
        words=words(effect, margin),
        change=percent(effect.ratio - 1),
        interval=f"{percent(low)} to {percent(high)}",
        detectable=percent(effect.detectable, sign=False),
        p_worse=probability(effect.p_worse),
        p_better=probability(effect.p_better),
        rows=effect.rows,
        blocks=effect.blocks,
        strip=Strip(
            point=_place(effect.ratio - 1, reach),
            low=_place(low, reach) if math.isfinite(low) else 0.0,
            high=_place(high, reach) if math.isfinite(high) else 100.0,
            cut_low=not low >= -reach,
            cut_high=not high <= reach,
        ),
    )


def words(effect: Effect, margin: float | None) -> str:
    """Return what an interval says of the candidate: that it is better, no worse, worse (by more
    than the margin), or that the rows cannot tell."""
    within = 1 + (margin or 0.0)
    if effect.high < 1:
        return "better"
    if effect.high < within:
        return "no worse"
    return "worse" if effect.low > within else "cannot tell"


def _fresh(opponent: Opponent | None) -> str:
    """Return how many test rows the champion has not seen, in words."""
    if opponent is None or opponent.order == "folds":
        return ""
    if not opponent.split_known:
        return "It does not record which rows it has seen, so none counts as fresh."
    share = (
        percent(opponent.fresh_rows / opponent.test_rows, 0, False) if opponent.test_rows else ""
    )
    of = f" of {opponent.test_rows:,}" + (f" ({share})" if share else "")
    return f"It has not seen {opponent.fresh_rows:,}{of} test rows; on these the two are compared."
