"""The metric table: each target's errors in its own unit, candidate beside every other model.

In: a contract and a Verdict. Out: small frozen views for the page. Nothing is ever averaged
over targets: their units differ. Over folds, a metric is the mean.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from data_contracts.contract import Contract
from tasks.records import Metric, Score, Scores, Verdict, metric_of
from tasks.report.numbers import MISSING, aligned, ratio

MOST_TARGETS = 150
"""The most targets that are written out, those to look at first."""
ORDER = (
    "candidate", "champion", "independent", "persistence", "seasonal_persistence", "ridge",
    "trees", "mean",
)  # fmt: skip
NAMES = {"seasonal_persistence": "seasonal persistence"}
"""How a model is called where that is not its name."""

Key = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """One number, and why there is none."""

    text: str
    best: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One metric of one target, a cell a model."""

    metric: str
    unit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """One target's metrics."""

    target: str
    description: str
    unit: str
    minor: bool
    rows: int
    metrics: tuple[Row, ...]


@dataclass(frozen=True)
class Count:
    """On how many targets the candidate's RMSE is lower than another model's."""

    model: str
    lower: int
    compared: int


class Table:
    """Scores by model and target, their means over folds, and the views made of them."""

    def __init__(self, contract: Contract, verdict: Verdict) -> None:
        self.contract = contract
        self.verdict = verdict
        self.models = [m for m in ORDER if m in verdict.scores.models]
        self.found: dict[Key, list[Score]] = defaultdict(list)
        for score in verdict.scores.scores:
            self.found[score.model, score.target].append(score)

    def heads(self) -> list[tuple[str, str]]:
        """Return each model's heading and the line below it."""
        version = f"version {self.verdict.scores.champion}"
        control = "a network per target"
        below = {"champion": version, "independent": control, "mean": "of train rows"}
        return [(NAMES.get(m, m), below.get(m, "")) for m in self.models]

    def first_to_look_at(self, most: int) -> list[str]:
        """Return at most `most` targets in the contract's order.

        Those come in that failed a rule, then those with the least skill over a baseline.
        """
        failed = {r.target for r in self.verdict.rulings if not r.passed}
        targets = list(self.contract.target_columns)
        ranked = sorted(targets, key=lambda t: (t not in failed, self._least_skill(t)))
        chosen = set(ranked[:most])
        return [t for t in targets if t in chosen]

    def _least_skill(self, target: str) -> float:
        scores = self.found.get(("candidate", target), [])
        return min((v for s in scores for v in s.skill.values()), default=math.inf)

    def mean(self, model: str, target: str, metric: Metric) -> float | None:
        """Return a metric's mean over the folds where it is defined, None where it is in none."""
        return mean(metric_of(s, metric) for s in self.found.get((model, target), []))

    def beside(self, model: str, target: str, metric: str = "rmse") -> float | None:
        """Return the candidate's error on the rows that another model answers."""
        own = {s.fold: getattr(s, metric) for s in self.found.get(("candidate", target), [])}
        others = self.found.get((model, target), [])
        return mean(s.candidate.get(metric, own.get(s.fold)) for s in others)

    def rows(self, model: str, target: str) -> int:
        """Return how many test rows of all folds a model is scored on."""
        return sum(s.rows for s in self.found.get((model, target), []))

    def counts(self) -> list[Count]:
        """Return how the candidate fares against each other model, target by target."""
        return [self._count(m) for m in self.models if m != "candidate"]

    def _count(self, model: str) -> Count:
        pairs = [
            (self.beside(model, t), self.mean(model, t, "rmse"))
            for t in self.contract.target_columns
        ]
        known = [(own, other) for own, other in pairs if own is not None and other is not None]
        return Count(model, sum(own < other for own, other in known), len(known))

    def blocks(self) -> list[Block]:
        """Return the metrics of the targets that are written out."""
        return [self._block(t) for t in self.first_to_look_at(MOST_TARGETS)]

    def _block(self, name: str) -> Block:
        target = self.contract.target_columns[name]
        return Block(
            target=name,
            description=target.description,
            unit=target.unit,
            minor=target.tier == "minor",
            rows=self.rows("candidate", name),
            metrics=(
                self._errors("MAE", name, "mae", target.unit),
                self._errors("RMSE", name, "rmse", target.unit),
                self._r2(name),
                self._skill(name),
            ),
        )

    def _errors(self, label: str, target: str, metric: Metric, unit: str) -> Row:
        values = [self.mean(m, target, metric) for m in self.models]
        best = _equals(min, self._comparable(target, values))
        return Row(label, unit, self._cells(target, aligned(values), best))

    def _r2(self, target: str) -> Row:
        values = [self.mean(m, target, "r2") for m in self.models]
        best = _equals(max, self._comparable(target, values))
        cells = self._cells(target, [ratio(v) for v in values], best)
        notes = [self._undefined(m, target) for m in self.models]
        return Row("R²", "", tuple(
            Cell(c.text, c.best, n or c.note) for c, n in zip(cells, notes, strict=True)
        ))  # fmt: skip

    def _comparable(self, target: str, values: Sequence[float | None]) -> list[float | None]:
        """Return the values of the models that are scored on as many rows as the candidate."""
        rows = self.rows("candidate", target)
        both = zip(self.models, values, strict=True)
        return [v if self.rows(m, target) == rows else None for m, v in both]

    def _undefined(self, model: str, target: str) -> str:
        scores = self.found.get((model, target), [])
        without = [s for s in scores if s.r2 is None]
        if not without:
            return ""
        reason = without[0].r2_note or "the truth does not vary in the test rows"
        if len(without) == len(scores):
            return f"undefined: {reason}"
        folds = ", ".join(str(s.fold) for s in without)
        return f"undefined in fold {folds}, where {reason}; mean of the others"

    def _cells(self, target: str, texts: Sequence[str], best: Sequence[bool]) -> tuple[Cell, ...]:
        return tuple(
            Cell(text, text != MISSING and is_best, self._note(model, target, text))
            for model, text, is_best in zip(self.models, texts, best, strict=True)
        )

    def _note(self, model: str, target: str, text: str) -> str:
        """Say why there is no number, or on which rows it is where those are not all."""
        if text == MISSING:
            return self._absent(model)
        rows = self.rows(model, target)
        if rows == self.rows("candidate", target):
            return ""
        fresh = " that it has not seen" if model == "champion" else " that it answers"
        return f"on the {rows:,} rows{fresh}; the skill compares on the same rows"

    def _absent(self, model: str) -> str:
        return f"no prediction: {NAMES.get(model, model)} does not cover this target"

    def _skill(self, target: str) -> Row:
        """Return the candidate's skill against each other model, by fold, then the mean."""
        return Row("Skill", "", tuple(self._skill_cell(m, target) for m in self.models))

    def _skill_cell(self, model: str, target: str) -> Cell:
        if model == "candidate":
            return Cell("")
        if not self.found.get((model, target)):
            return Cell(MISSING, note=self._absent(model))
        own = {s.fold: s for s in self.found.get(("candidate", target), [])}
        ratios = [
            1 - s.candidate.get("rmse", own[s.fold].rmse) / s.rmse
            for s in self.found[model, target]
            if s.fold in own and s.rmse > 0
        ]
        if not ratios:
            return Cell(MISSING, note=f"undefined: {model} has no error")
        return Cell(ratio(sum(ratios) / len(ratios)))


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known, None where none is."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _equals(best: Callable[[list[float]], float], values: list[float | None]) -> list[bool]:
    """Say which values are the best; none is where all are alike."""
    known = [v for v in values if v is not None]
    return [len(set(known)) > 1 and v == best(known) for v in values]


def fold_rows(scores: Scores, targets: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the candidate's RMSE of each target, fold by fold."""
    found = {(s.target, s.fold): s.rmse for s in scores.scores if s.model == "candidate"}
    folds = sorted({fold for _, fold in found})
    return [(t, aligned([found.get((t, f)) for f in folds])) for t in targets]
