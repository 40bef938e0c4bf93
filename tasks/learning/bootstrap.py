"""The studentized block bootstrap of the log ratio of two models' errors.

A block has the sums of both models' errors, for one target or several. What is asked is the log
of the ratio of the totals, as the mean over the targets. Resamples draw blocks with replacement:
single ones where blocks are independent, runs of neighbours where they follow each other in time
(circular: Politis & Romano 1992). Each resample yields its own estimate and its own standard
error, hence a t (Hall 1988; Götze & Künsch 1996): the quantiles of plain resamples are too narrow
where blocks are few or uneven.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

TAIL = 0.01
"""Further out than this the resamples are too few to count: Student's t goes on from there."""


@dataclass(frozen=True)
class Studentized:
    """An estimate on the log scale, its standard error, and what its t is compared with."""

    estimate: float
    error: float
    drawn: Values
    """The resamples' t values, sorted: a limit is the wider one of theirs and Student's. With
    none, Student's decides."""
    freedom: float
    """Student's degrees of freedom."""

    def below(self, limit: float) -> float:
        """Return the p of "the truth is `limit` or more", small where it is shown to be less."""
        return _lower(self.drawn, (self.estimate - limit) / self.error, self.freedom)

    def above(self, limit: float) -> float:
        """Return the p of "the truth is `limit` or less", small where it is shown to be more."""
        return _lower(-self.drawn[::-1], (limit - self.estimate) / self.error, self.freedom)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the interval that has the truth below and above it with p `alpha` / 2 each."""
        low = self.estimate + self.error * _quantile(-self.drawn[::-1], alpha / 2, self.freedom)
        high = self.estimate - self.error * _quantile(self.drawn, alpha / 2, self.freedom)
        return low, high


def _lower(drawn: Values, t: float, freedom: float) -> float:
    """Return the share of t values at or below `t`, or Student's where that is larger."""
    from scipy.special import stdtr, stdtrit

    if not drawn.size:
        return float(stdtr(freedom, t))
    far = _quantile(drawn, TAIL, freedom)
    if t < far:
        return float(stdtr(freedom, t * stdtrit(freedom, TAIL) / far))
    counted = (1 + np.searchsorted(drawn, t, "right")) / (drawn.size + 1)
    return float(max(counted, stdtr(freedom, t)))


def _quantile(drawn: Values, p: float, freedom: float) -> float:
    """Return the t value that lies below a share `p` of the resamples and of Student's t."""
    from scipy.special import stdtrit

    if not drawn.size:
        return float(stdtrit(freedom, p))
    own = float(stdtrit(freedom, max(p, TAIL)))
    wider = min(own, float(np.quantile(drawn, max(p, TAIL), method="lower")))
    return wider if p >= TAIL else float(stdtrit(freedom, p)) * wider / own


class Resamples:
    """What each resample draws; the same for all series of as many blocks and as long runs."""

    def __init__(self, resamples: int, seed: int) -> None:
        self.resamples = resamples
        self.seed = seed
        self._counts: dict[tuple[int, int], Values] = {}

    def counts(self, blocks: int, length: int) -> Values:
        """Return (resamples, blocks): how often the run that starts at each block is drawn."""
        key = (blocks, length)
        if key not in self._counts:
            random = np.random.default_rng([self.seed, *key])
            starts = random.integers(0, blocks, (self.resamples, blocks // length))
            flat = starts + blocks * np.arange(self.resamples)[:, None]
            found = np.bincount(flat.ravel(), minlength=self.resamples * blocks)
            self._counts[key] = found.reshape(self.resamples, blocks).astype(np.float64)
        return self._counts[key]

    def studentized(self, over: Values, under: Values, length: int, power: float) -> Studentized:
        """Return `power` x the mean over targets of log(sum over / sum under), and its t.

        `over` and `under` (blocks, targets) hold the two models' sums, blocks in order, with a
        total above zero for each target. A run is `length` blocks.
        """
        blocks, targets = over.shape
        runs = blocks // length
        a, b = over / over.sum(axis=0), under / under.sum(axis=0)
        shift = power * (a - b).mean(axis=1)
        error = math.sqrt(long_run(shift, length))
        influence = moving_sums(shift, length)
        parts = [moving_sums(a, length), moving_sums(b, length)]
        parts += [influence[:, None], influence[:, None] ** 2]
        sums = self.counts(blocks, length) @ np.concatenate(parts, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.log(sums[:, :targets] / sums[:, targets:-2])
            spread = np.maximum(sums[:, -1] - sums[:, -2] ** 2 / runs, 0) * runs / (runs - 1)
            drawn = power * ratios.mean(axis=1) / np.sqrt(spread)
        estimate = power * float(np.log(over.sum(axis=0) / under.sum(axis=0)).mean())
        drawn = np.sort(drawn[~np.isnan(drawn)])
        return Studentized(estimate, error, drawn, _freedom(a, b, length))


def _freedom(a: Values, b: Values, length: int) -> float:
    """Return how many runs of equal error would tell as much as these (Kish 1965), less one.

    A few runs that hold most of the error tell no more than as many runs.
    """
    share = moving_sums((a.mean(axis=1) + b.mean(axis=1)) / 2, length)
    return max(1.0, length / share.size / float(np.mean(share**2)) - 1)


def long_run(series: Values, length: int) -> float:
    """Return the variance of the sum of a series (n,) with mean 0, from runs of `length`."""
    runs = series.size // length
    spread = float(np.mean(moving_sums(series, length) ** 2))
    return series.size / length * spread * runs / (runs - 1)


def moving_sums(values: Values, length: int) -> Values:
    """Return the sum of each run of `length` neighbours, the first following the last."""
    if length == 1:
        return values
    around = np.concatenate([values, values[: length - 1]])
    total = np.concatenate([np.zeros_like(values[:1]), np.cumsum(around, axis=0)])
    return np.asarray(total[length:] - total[:-length])
