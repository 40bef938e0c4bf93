"""The candidate's errors against the champion's on the same rows: effects, intervals, p-values.

In: sums of both models' errors by block and target. A block is what is taken to be independent
of the next, or a stretch of time, or a fold. Out: by target and for all together the ratio of the
errors, its interval, the change that such rows can see, and the p-values of "worse" and "better".

Each one-sided question is asked at half of 1 - confidence, as a two-sided interval does:
- a target is *no worse* where its interval ends below 1 + margin. All targets must be, so that
  no correction is due (an intersection-union test: Berger 1982);
- it is *worse* where its interval lies above 1 + margin, and *better* where below 1, with Holm's
  correction over targets: to be right in all of them at once.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.learning.block_length import block_length
from tasks.learning.bootstrap import Resamples, Studentized, long_run
from tasks.learning.holm import holm

Values = NDArray[np.float64]
Order = Literal["time", "group", "rows", "folds"]

LEAST_BLOCKS = 8
"""Fewer blocks, or runs of blocks, tell nothing of their spread."""
LEAST_MOMENTS = 32
"""Fewer stretches of time do not show how they hang together."""
LEAST_FOLDS = 3
POWER = 0.8
"""The probability with which a detectable change is seen."""
MOST = math.log(1e9)
"""An error of nothing, or one without end, counts as a billionfold."""
SAME = 1e-9
"""Sums that differ by no more than this share are those of the same answers."""


@dataclass(frozen=True)
class Paired:
    """The effect on one target, or on all: errors as ratios, candidate over champion."""

    blocks: int
    ratio: float
    low: float
    high: float
    """The ends of the ratio's two-sided interval."""
    detectable: float
    """The share by which the error must fall for it to be seen with power 0.8."""
    p_worse: float
    """p of "at most 1 + margin", small where it is shown to be worse; Holm-adjusted."""
    p_better: float
    """p of "1 or more", small where it is shown to be better; Holm-adjusted."""


@dataclass(frozen=True)
class Effects:
    """By target, and for the critical ones together, the effect, or why there is none."""

    targets: tuple[Paired | str, ...]
    joint: Paired | str
    """The geometric mean of the critical targets' ratios."""


def effects(
    weight: Values,
    candidate: Values,
    champion: Values,
    *,
    metric: Literal["rmse", "mae"],
    order: Order,
    margin: float,
    confidence: float,
    critical: Sequence[bool],
    overlap: float = 0.0,
    resamples: int = 1000,
    seed: int = 0,
) -> Effects:
    """Return the effects by target, from sums (blocks, targets) over the same rows.

    `weight` holds the rows' weights, `candidate` and `champion` the sums of weighted squared
    errors for rmse and of absolute ones for mae; blocks without weight are left out. Blocks of
    order "time" follow each other; those of "folds" are folds, trained on rows that overlap:
    `overlap` is test rows over train rows. Raises ValueError where shapes differ.
    """
    shapes = {weight.shape, candidate.shape, champion.shape}
    if len(shapes) != 1 or weight.shape[1:] != (len(critical),):
        raise ValueError(f"expected three arrays (blocks, {len(critical)}), came {shapes}")
    test = _Test(
        power=0.5 if metric == "rmse" else 1.0,
        order=order,
        limit=math.log1p(margin),
        alpha=1 - confidence,
        overlap=overlap,
        draws=Resamples(resamples, seed),
    )

    def of(columns: list[int]) -> Paired | str:
        return test.effect(*(v[:, columns] for v in (weight, candidate, champion)))

    found = [of([i]) for i in range(len(critical))]
    joint = [i for i, c in enumerate(critical) if c and isinstance(found[i], Paired)]
    joint = [i for i in joint if _lasting(candidate[:, i], champion[:, i])] or joint
    together = of(joint) if joint else "no critical target can be compared"
    return Effects(tuple(_adjusted(found)), together)


def _adjusted(found: list[Paired | str]) -> Iterator[Paired | str]:
    """Yield the effects with p-values adjusted for one another."""
    known = [e for e in found if isinstance(e, Paired)]
    worse = iter(holm(np.array([e.p_worse for e in known])))
    better = iter(holm(np.array([e.p_better for e in known])))
    for e in found:
        if isinstance(e, Paired):
            e = replace(e, p_worse=float(next(worse)), p_better=float(next(better)))
        yield e


@dataclass(frozen=True)
class _Test:
    """How one effect is found: what all targets share."""

    power: float
    order: Order
    limit: float
    alpha: float
    overlap: float
    draws: Resamples

    def effect(self, weight: Values, over: Values, under: Values) -> Paired | str:
        """Return the effect on the targets given, or why there is none."""
        used = weight.sum(axis=1) > 0
        over, under = over[used], under[used]
        blocks = len(over)
        least = {"time": LEAST_MOMENTS, "folds": LEAST_FOLDS}.get(self.order, LEAST_BLOCKS)
        if blocks < least:
            return f"{blocks} {BLOCKS[self.order]}, and at least {least} are needed"
        lasting = _lasting(over, under)
        if not lasting or _alike(over / over.sum(axis=0), under / under.sum(axis=0)):
            return self._certain(over, under)
        if self.order == "folds":
            return self._effect(blocks, _corrected(over, under, self.power, self.overlap))
        length = 1
        if self.order == "time":
            gap = (over / over.sum(axis=0) - under / under.sum(axis=0)).mean(axis=1)
            reach = block_length(gap)
            if _endless(gap, reach):
                least = 2 * LEAST_BLOCKS * reach
                over_all = f"{reach} of {blocks} stretches of time"
                return f"errors hang together over {over_all}, and at least {least} are needed"
            length = _run(reach, blocks)
        return self._effect(blocks, self.draws.studentized(over, under, length, self.power))

    def _effect(self, blocks: int, found: Studentized) -> Paired:
        from scipy.special import stdtrit

        low, high = found.interval(self.alpha)
        seen = high - found.estimate + found.error * float(stdtrit(found.freedom, POWER))
        return Paired(
            blocks=blocks,
            ratio=_ratio(found.estimate),
            low=_ratio(low),
            high=_ratio(high),
            detectable=-math.expm1(-seen),
            p_worse=found.above(self.limit),
            p_better=found.below(0.0),
        )

    def _certain(self, over: Values, under: Values) -> Paired:
        """Return the effect with no chance in it: no error, or one in the same place throughout."""
        log = 0.0
        if not _alike(over, under):
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log(over.sum(axis=0)) - np.log(under.sum(axis=0))
            log = float(np.clip(np.nan_to_num(self.power * logs), -MOST, MOST).mean())
        ratio = _ratio(log)
        worse, better = float(log <= self.limit), float(log >= 0)
        return Paired(len(over), ratio, ratio, ratio, 0.0, worse, better)


BLOCKS: dict[Order, str] = {
    "time": "stretches of time",
    "group": "groups",
    "rows": "blocks of rows",
    "folds": "folds",
}


def _endless(gap: Values, reach: int) -> bool:
    """Say whether blocks in time hang together for longer than runs of them can be.

    Where the variance no longer grows with the run, it is a cycle that goes on, as of the day.
    """
    longest = gap.size // LEAST_BLOCKS
    if reach == 1 or 2 * reach <= longest:
        return False
    return long_run(gap, longest) > long_run(gap, longest // 2)


def _run(reach: int, blocks: int) -> int:
    """Return how many blocks in time make a run.

    Twice the length of least error in the variance: tests want longer blocks (Sun, Phillips &
    Jin 2008). Not less than the cube root of the blocks, since weak memory is not seen in few;
    and a power of two, so that many targets share their resamples.
    """
    wanted = max(2 * reach if reach > 1 else 1, math.ceil(blocks ** (1 / 3)))
    return int(min(2 ** math.ceil(math.log2(wanted)), blocks // LEAST_BLOCKS))


def _ratio(log: float) -> float:
    return math.exp(min(max(log, -MOST), MOST))


def _lasting(over: Values, under: Values) -> bool:
    """Say whether both models err, and neither without end."""
    totals = np.stack([over.sum(axis=0), under.sum(axis=0)])
    return bool(np.isfinite(totals).all() and (totals > 0).all())


def _alike(over: Values, under: Values) -> bool:
    with np.errstate(invalid="ignore"):  # no difference of what is without end
        return bool((np.abs(over - under) <= SAME * np.minimum(over, under)).all())


def _corrected(over: Values, under: Values, power: float, overlap: float) -> Studentized:
    """Return the mean log ratio over folds (folds, targets) with its corrected error.

    Folds share train rows: their variance is counted 1/folds + test rows / train rows times
    (Nadeau & Bengio 2003).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.clip(np.nan_to_num(power * np.log(over / under)), -MOST, MOST).mean(axis=1)
    error = math.sqrt((1 / logs.size + overlap) * float(logs.var(ddof=1)))
    return Studentized(float(logs.mean()), error, np.zeros(0), logs.size - 1)
