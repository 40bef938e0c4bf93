"""Baselines: models with no network, which every candidate is compared with.

Each returns predictions (rows, targets) in units; NaN where it has nothing to say.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import Arrays
from tasks.learning.tables import numbers

Values = NDArray[np.float64]
ALPHAS = np.logspace(-3, 4, 15)


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


def ridge(preprocessing: Preprocessing, train: Arrays, rows: pa.Table) -> Values:
    """Return ridge regression on the network's inputs, fitted per target where it is observed.

    The penalty of each target is chosen by generalized cross-validation on the train rows.
    """
    from sklearn.linear_model import RidgeCV

    inputs = preprocessing.encode(rows).astype(np.float64)
    x = train.inputs.astype(np.float64)
    scaled = np.full((len(rows), train.targets.shape[1]), np.nan)
    observed = ~np.isnan(train.targets)
    for pattern in {column.tobytes() for column in observed.T}:
        alike = [i for i, column in enumerate(observed.T) if column.tobytes() == pattern]
        seen = observed[:, alike[0]]
        if not seen.any():
            continue
        model = RidgeCV(ALPHAS, alpha_per_target=True)
        model.fit(x[seen], train.targets[seen][:, alike], sample_weight=train.weight[seen])
        scaled[:, alike] = model.predict(inputs).reshape(len(rows), len(alike))
    return preprocessing.invert(scaled, rows)
