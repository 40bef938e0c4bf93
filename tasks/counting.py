"""Count the test rows in which predictions break the constraints that name a target.

In: a contract, a fold's raw test rows and every model's predictions of them. Out: counts.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract
from tasks.learning.relations import count, relations_of
from tasks.learning.tables import numbers
from tasks.records import ConstraintCount


def count_broken(
    contract: Contract, rows: pa.Table, predictions: pa.Table, models: Iterable[str], fold: int
) -> Iterator[ConstraintCount]:
    """Yield a count per constraint of each of `models`.

    `rows` are raw rows with all columns that the constraints name; `predictions` hold, in the
    same order, `<model>/<target>` in units. A row without an answer or a feature does not count.
    """
    relations = relations_of(contract)
    targets = list(contract.target_columns)
    for model in models if relations else ():
        values = np.stack([numbers(predictions, f"{model}/{t}") for t in targets], axis=1)
        for constraint, found in count(relations, values, rows).items():
            yield ConstraintCount(
                fold=fold, model=model, constraint=constraint, rows=found.rows, broken=found.broken
            )
