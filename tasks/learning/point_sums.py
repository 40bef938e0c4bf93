"""Errors of point predictions, added up block by block: as of all rows at once, in any order.

Means and squares about them are merged as Chan, Golub & LeVeque (1983) do, so that a level of
100,000 with a spread of 1 costs no digits.
"""

from dataclasses import dataclass

import numpy as np

from tasks.learning.cells import Floats, Part, Values, dot, parts, sum_of

SINGLE = np.finfo(np.float32)


@dataclass(frozen=True)
class PointErrors:
    """The errors of one target, in its unit (`r2` and `correlation` have none).

    `rows` are those that weigh something and have both a truth and an answer. `bias` is the
    mean of prediction minus truth. `r2` is None where the truth does not vary, which `r2_note`
    then says; `correlation` where truth or prediction does not vary.
    """

    rows: int
    mae: float
    rmse: float
    r2: float | None
    r2_note: str
    bias: float
    max_error: float
    correlation: float | None


class PointSums:
    """Sums of one model's errors by target. Each array is (targets,), float64."""

    def __init__(self, targets: int) -> None:
        def zeros() -> Values:
            return np.zeros(targets)

        self.rows, self.weight = zeros(), zeros()
        self.gap, self.absolute, self.squared, self.greatest = zeros(), zeros(), zeros(), zeros()
        self.truth_mean, self.truth_squares = zeros(), zeros()
        self.answer_mean, self.answer_squares = zeros(), zeros()
        self.products = zeros()

    def add(
        self,
        truth: Floats,
        predicted: Floats,
        weight: Values | None = None,
    ) -> None:
        """Add rows: `truth` and `predicted` (rows, targets), `weight` (rows,).

        Cells where either is NaN are left out, and rows that weigh nothing. Raises ValueError
        where a shape does not fit.
        """
        if truth.ndim != 2 or truth.shape[1] != self.rows.size:
            raise ValueError(f"truth: expected (rows, {self.rows.size}), came {truth.shape}")
        for part in parts(weight, truth, predicted):
            self.merge(_sums(part))

    def merge(self, other: "PointSums") -> None:
        """Add what another has added up, of other rows and the same targets."""
        total = self.weight + other.weight
        share = np.divide(other.weight, total, out=np.zeros_like(total), where=total > 0)
        apart = self.weight * share
        with np.errstate(invalid="ignore"):  # an infinite answer
            truth, answer = other.truth_mean - self.truth_mean, other.answer_mean - self.answer_mean
            self.truth_squares += other.truth_squares + truth * truth * apart
            self.answer_squares += other.answer_squares + answer * answer * apart
            self.products += other.products + truth * answer * apart
            self.truth_mean += truth * share
            self.answer_mean += answer * share
            self.gap += other.gap
        self.absolute += other.absolute
        self.squared += other.squared
        self.greatest = np.maximum(self.greatest, other.greatest)
        self.rows += other.rows
        self.weight = total

    def errors(self) -> list[PointErrors | None]:
        """Return the errors of each target, None for one with no row."""
        return [self._errors(i) if self.rows[i] else None for i in range(self.rows.size)]

    def _errors(self, i: int) -> PointErrors:
        weight, mse = self.weight[i], float(self.squared[i] / self.weight[i])
        variance = float(self.truth_squares[i] / weight)
        answers = float(self.answer_squares[i] / weight)
        note = unvarying(variance, float(self.truth_mean[i]))
        still = note or unvarying(answers, float(self.answer_mean[i]))
        correlation = float(self.products[i] / weight) / (variance * answers or 1.0) ** 0.5
        return PointErrors(
            rows=int(self.rows[i]),
            mae=float(self.absolute[i] / weight),
            rmse=mse**0.5,
            r2=None if note else 1 - mse / variance,
            r2_note=note,
            bias=float(self.gap[i] / weight),
            max_error=float(self.greatest[i]),
            correlation=None if still else min(1.0, max(-1.0, correlation)),
        )


def unvarying(variance: float, mean: float) -> str:
    """Return why values of this variance and mean count as constant, "" where they do not.

    They do where networks, which compute in 32 bits, could not tell them apart from their mean,
    or could not square their deviations. So a small unit does no harm while values spread.
    """
    if not variance > 0:
        return "the truth is constant"
    deviation = variance**0.5
    if variance < float(SINGLE.eps) ** 2 * (variance + mean * mean):
        return f"the truth hardly varies: by {deviation:.2g} about {mean:.6g}"
    if variance < SINGLE.tiny:
        return f"the truth hardly varies: by {deviation:.2g}, whose square is next to nothing"
    return ""


def _sums(part: Part) -> PointSums:
    found = PointSums(len(part.lines[0]))
    with np.errstate(invalid="ignore"):  # an infinite answer
        for i in range(found.rows.size):
            truth, answer = part.line(i)
            gap, weight = answer - truth, part.weight
            if np.isnan(np.add.reduce(gap)):
                seen = ~np.isnan(gap)
                truth, answer, gap = truth[seen], answer[seen], gap[seen]
                weight = None if weight is None else weight[seen]
            if gap.size:
                _add_line(found, i, truth, answer, gap, weight)
    return found


def _add_line(
    sums: PointSums, i: int, truth: Values, answer: Values, gap: Values, weight: Values | None
) -> None:
    """Put the sums of one target in place; each array is (rows,), without unknown values."""
    size = np.abs(gap)
    total = float(gap.size) if weight is None else float(np.add.reduce(weight))
    sums.rows[i], sums.weight[i] = gap.size, total
    sums.gap[i], sums.absolute[i] = sum_of(gap, weight), sum_of(size, weight)
    sums.squared[i], sums.greatest[i] = dot(gap, gap, weight), np.maximum.reduce(size)
    mean, answer_mean = sum_of(truth, weight) / total, sum_of(answer, weight) / total
    off, answer_off = truth - mean, answer - answer_mean
    sums.truth_mean[i], sums.truth_squares[i] = mean, dot(off, off, weight)
    sums.answer_mean[i], sums.answer_squares[i] = answer_mean, dot(answer_off, answer_off, weight)
    sums.products[i] = dot(off, answer_off, weight)
