"""A block of test rows with the truth and every model's answers: what all sums are fed with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.errors import DataError
from tasks.evaluate.models import Model
from tasks.evaluate.parts import only
from tasks.learning.predictions import Predictions
from tasks.learning.tables import numbers

CANDIDATE, CHAMPION = "candidate", "champion"
Values = NDArray[np.float64]
Fresh = Callable[[pa.Table], NDArray[np.bool_]]
"""From raw rows to which of them (n,) the champion has not seen."""


@dataclass(frozen=True)
class Block:
    """Raw `rows` of a fold, their `truth` (n, targets), what they weigh (n,), and `answers` by
    model. Missing is NaN; no answer is infinite."""

    fold: int
    rows: pa.Table
    truth: Values
    weight: Values | None
    answers: Mapping[str, Predictions]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def means(self) -> dict[str, Values]:
        """Each model's point predictions (n, targets)."""
        return {model: found.mean for model, found in self.answers.items()}


class Answering:
    """Asks the models of a fold block by block; tells at the end where the candidate is silent.

    The champion has no answer where a row is not `fresh`; all are, where nothing tells.
    """

    def __init__(
        self, contract: Contract, models: Mapping[str, Model], fold: int, fresh: Fresh | None = None
    ) -> None:
        self.contract, self.models, self.fold, self.fresh = contract, models, fold, fresh
        self.rows = self.fresh_rows = self.silent = 0
        self.first_silent: int | None = None

    def __call__(self, rows: pa.Table) -> Block:
        """Return raw rows, which hold `_row`, with truth, weight and answers."""
        contract = self.contract
        truth = np.stack([numbers(rows, t) for t in contract.target_columns], axis=1)
        weight = numbers(rows, contract.row_weight) if contract.row_weight else None
        self.rows += len(rows)
        answers = {name: model(rows) for name, model in self.models.items()}
        self._note_silence(rows, answers[CANDIDATE].mean)
        if CHAMPION in answers:
            fresh = self.fresh(rows) if self.fresh else np.ones(len(rows), bool)
            self.fresh_rows += int(fresh.sum())
            answers[CHAMPION] = only(answers[CHAMPION], fresh)
        finite = {
            name: replace(p, mean=np.where(np.isfinite(p.mean), p.mean, np.nan))
            for name, p in answers.items()
        }
        return Block(self.fold, rows, truth, weight, finite)

    def _note_silence(self, rows: pa.Table, mean: Values) -> None:
        lost = np.flatnonzero(~np.isfinite(mean).all(axis=1))
        self.silent += lost.size
        if lost.size and self.first_silent is None:
            self.first_silent = rows.column("_row")[int(lost[0])].as_py()

    def check(self) -> None:
        """Raise DataError where the candidate had no answer: it must not be scored on the rest."""
        if self.silent:
            raise DataError(
                f"the candidate has no finite answer to {self.silent:,} of {self.rows:,} test "
                f"rows, first to _row {self.first_silent}: look for extreme values there, and "
                "give the features bounds"
            )
