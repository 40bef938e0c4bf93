"""How far rows have moved from a reference: effects in four measures, each with a test.

In: two Histograms of one column, the later with the reference's bins. Out: Shift, by `shifts` for
many columns at once.

- *stability*, the population stability index: the sum over bins of the difference of the shares
  times the logarithm of their ratio (Siddiqi 2006, Credit Risk Scorecards: below 0.1 little, above
  0.25 large);
- *distance*, the Wasserstein distance in units of the reference's spread: the mean over quantiles
  of how far they lie apart (Villani 2009), for numbers that have an order;
- *missing*, the change of the share of missing values;
- *new*, the share of labels that the reference does not know.

Each is tested for being more than chance: the first two by the chi-squared test that both samples
have one distribution over the bins, the others by that of two shares, with Benjamini and
Hochberg's bound on false discoveries over all tests of all columns. With a million rows next to
nothing is more than chance, and rows that hang together pass the tests sooner than independent
ones do: so a column has moved only where the effect is past its limit too, and well past what
is usual in it: the greatest effect that a stretch of the reference's own rows had.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.learning.discoveries import discoveries
from tasks.learning.reference import Histogram

Values = NDArray[np.float64]
Measure = Literal["stability", "distance", "missing", "new"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
MOST_BINS = 20
"""The most labels with a bin of their own; the others share one."""
BEYOND = 1.25
"""How many times what is usual an effect must be: the greatest of some stretches is soon passed
by the next one, in one of many columns."""
LEAST_ROWS = 30
"""Fewer rows with a value tell nothing of their distribution."""


@dataclass(frozen=True)
class Limits:
    """The effects from which on a column has moved, and the share of false discoveries."""

    stability: float
    distance: float
    missing: float
    new: float
    false_discoveries: float


@dataclass(frozen=True)
class Effect:
    """One measure of one column."""

    measure: Measure
    value: float
    p: float
    """Of so much by chance; adjusted for all tests of all columns."""
    usual: float = 0.0
    """The greatest effect in a stretch of the reference's own rows."""
    moved: bool = False
    """Whether it is more than chance, past its limit and past what is usual."""


@dataclass(frozen=True)
class Shift:
    """How one column's rows differ from its reference."""

    column: str
    target: bool
    rows: int
    """The later rows that have a value."""
    effects: tuple[Effect, ...]
    new: tuple[str, ...] = ()
    """The most frequent labels that the reference does not know, where it knows all of its own."""

    @property
    def moved(self) -> bool:
        """Whether any measure says so."""
        return any(e.moved for e in self.effects)

    def value(self, measure: Measure) -> float | None:
        """Return the effect in a measure; None where it has none."""
        return next((e.value for e in self.effects if e.measure == measure), None)


def shifts(pairs: Sequence[tuple[Histogram, Histogram]], limits: Limits) -> list[Shift]:
    """Return the shift of each pair of a reference and later rows, the farthest moved first."""
    found = [shift_of(was, now) for was, now in pairs]
    adjusted = iter(discoveries(np.array([e.p for s in found for e in _tests(s)])))
    ps = {(s.column, e.measure): float(next(adjusted)) for s in found for e in _tests(s)}
    judged = [replace(s, effects=tuple(_judged(s, limits, ps))) for s in found]
    return sorted(judged, key=lambda s: -_farthest(s, limits))


def _tests(shift: Shift) -> list[Effect]:
    """Return a shift's effects without the distance, which has the test of the stability."""
    return [e for e in shift.effects if e.measure != "distance"]


def _judged(shift: Shift, limits: Limits, ps: dict[tuple[str, Measure], float]) -> Iterator[Effect]:
    for effect in shift.effects:
        test: Measure = "stability" if effect.measure == "distance" else effect.measure
        p = ps[shift.column, test]
        least = max(getattr(limits, effect.measure), BEYOND * effect.usual)
        past = abs(effect.value) >= least
        yield replace(effect, p=p, moved=past and p <= limits.false_discoveries)


def _farthest(shift: Shift, limits: Limits) -> float:
    """Return the greatest effect in units of its limit; what has not moved comes after."""
    return max(
        (abs(e.value) / getattr(limits, e.measure) * (1 if e.moved else 1e-6)
         for e in shift.effects),
        default=0.0,
    )  # fmt: skip


def shift_of(was: Histogram, now: Histogram) -> Shift:
    """Return how far one column's rows have moved, not judged yet."""
    known = now.rows - now.missing
    effects: list[Effect] = []
    if known >= LEAST_ROWS and was.rows > was.missing:
        before, after = bins(was, now)
        effects.append(Effect("stability", stability(before, after), same(before, after)))
        apart = _distance(was, now)
        if apart is not None:
            effects.append(Effect("distance", apart, 1.0))
    if not was.target and now.rows >= LEAST_ROWS:  # a truth that is missing may be to come
        change = now.missing_share - was.missing_share
        p = same(_two(was.missing, was.rows), _two(now.missing, now.rows))
        effects.append(Effect("missing", change, p))
    if was.of_labels and known >= LEAST_ROWS:
        effects.append(_unknown(was, now))
    told = tuple(replace(e, usual=was.usual.get(e.measure, 0.0)) for e in effects)
    return Shift(was.column, was.target, known, told, _new(was, now))


def bins(was: Histogram, now: Histogram, missing: bool = False) -> tuple[Values, Values]:
    """Return the rows of both by bin (bins,), without those that neither has.

    `missing`: whether rows without a value have a bin too.
    """
    if was.of_labels:
        first = list(was.labels)[:MOST_BINS]
        pair = [[*(h.labels.get(k, 0) for k in first), 0] for h in (was, now)]
        for line, whole in zip(pair, (was, now), strict=True):
            line[-1] = whole.rows - whole.missing - sum(line)
    else:
        pair = [list(was.counts), list(now.counts)]
    if missing:
        for line, whole in zip(pair, (was, now), strict=True):
            known = max(whole.rows - whole.missing, 1)
            line.append(round(whole.missing * sum(line) / known) if sum(line) else whole.missing)
    before, after = np.array(pair, dtype=np.float64)
    there = before + after > 0
    return before[there], after[there]


def _unknown(was: Histogram, now: Histogram) -> Effect:
    """Return by how much the share of labels has grown that have no count in the reference."""
    known = [h.rows - h.missing for h in (was, now)]
    away = [was.other, sum(n for k, n in now.labels.items() if k not in was.labels) + now.other]
    value = away[1] / known[1] - (away[0] / known[0] if known[0] else 0.0)
    return Effect("new", max(value, 0.0), same(_two(away[0], known[0]), _two(away[1], known[1])))


def _new(was: Histogram, now: Histogram) -> tuple[str, ...]:
    if not was.of_labels or was.other:
        return ()
    return tuple(label for label in now.labels if label not in was.labels)[:5]


def _two(some: int, whole: int) -> Values:
    return np.array([some, whole - some], dtype=np.float64)


def _distance(was: Histogram, now: Histogram) -> float | None:
    """Return the Wasserstein distance in spreads; None for what has no order or no spread.

    The spread is that of the quantiles: one value a thousand times too large does not hide a
    shift of all others.
    """
    if was.of_labels or was.cyclic or not now.quantiles:
        return None
    spread = float(np.std(was.quantiles)) or was.spread or 0.0
    if not spread:
        return None
    return float(np.mean(np.abs(np.subtract(was.quantiles, now.quantiles)))) / spread


def stability(before: Values, after: Values) -> float:
    """Return the population stability index of two counts (bins,); 0 for rows of none.

    Half a row is added to every bin, so that an empty one has a logarithm.
    """
    if not before.sum() or not after.sum() or len(before) < 2:
        return 0.0
    p, q = (n + 0.5 for n in (before, after))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def same(before: Values, after: Values) -> float:
    """Return the p of two counts (bins,) being draws of one distribution (Pearson's test)."""
    from scipy.special import chdtrc

    table = np.stack([before, after])
    table = table[:, table.sum(axis=0) > 0]
    whole = table.sum()
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / whole
    return float(chdtrc(table.shape[1] - 1, np.sum((table - expected) ** 2 / expected)))
