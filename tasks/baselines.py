"""Baselines that learn nothing but a mean, which every candidate is compared with.

Each returns predictions (rows, targets) in units; NaN where it has nothing to say.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.tables import numbers

Values = NDArray[np.float64]


def train_mean(preprocessing: Preprocessing, rows: pa.Table) -> Values:
    """Return each target's mean over the train rows, for every row."""
    return np.tile([s.mean for s in preprocessing.scalers], (len(rows), 1))


def persistence(contract: Contract, rows: pa.Table) -> Values:
    """Return each target's value at forecast time, NaN for targets that name no `present`."""
    out = np.full((len(rows), len(contract.target_columns)), np.nan)
    for i, target in enumerate(contract.target_columns):
        column = contract.present_columns.get(target)
        if column is not None:
            out[:, i] = numbers(rows, column)
    return out
