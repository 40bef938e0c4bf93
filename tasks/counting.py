"""Count the test rows in which predictions break the constraints that name a target.

In: a contract, and blocks of raw test rows with every model's predictions. Out: counts.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.learning.relations import count, relations_of
from tasks.records import ConstraintCount

Values = NDArray[np.float64]


class BrokenSums:
    """Counts per constraint and model, added up block by block."""

    def __init__(self, contract: Contract, models: Iterable[str]) -> None:
        self.relations = relations_of(contract)
        words = [relation.words for relation in self.relations]
        self.rows = {(model, w): 0 for model in models for w in words}
        self.broken = dict(self.rows)

    def add(self, rows: pa.Table, answers: Mapping[str, Values]) -> None:
        """Add raw rows, with all columns that the constraints name, and each model's predictions
        of them (rows, targets). A row without an answer or a feature does not count."""
        for model in dict.fromkeys(model for model, _ in self.rows):
            for words, found in count(self.relations, answers[model], rows).items():
                self.rows[model, words] += found.rows
                self.broken[model, words] += found.broken

    def counts(self, fold: int) -> list[ConstraintCount]:
        """Return the counts as those of a fold."""
        return [
            ConstraintCount(
                fold=fold,
                model=model,
                constraint=words,
                rows=rows,
                broken=self.broken[model, words],
            )
            for (model, words), rows in self.rows.items()
        ]
