"""Baselines that learn: ridge regression, and a tree ensemble as an honest outsider.

Each is fitted once on scaled train rows, target by target where it is observed, and then answers
raw rows in units: (rows, targets), NaN for a target that no train row knows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import Arrays

Values = NDArray[np.float64]
Fit = Callable[[Values, Values, Values], Callable[[Values], Values]]
"""From inputs, targets and weights to what predicts targets from inputs."""

Pattern = tuple[list[int], NDArray[np.bool_]]
"""The positions of some targets, and the rows that they are learned from."""

ALPHAS = np.logspace(-3, 4, 15)
TREES = 100
FEATURES = 20
"""Among how many inputs a split is sought at least; of more than 60, among a third: as good as
among all on the weather data, in a third of the time."""
LOST = 0.02
"""The share of its rows that a target may lose by sharing trees with others."""
MOST_NUMBERS = 1 << 25
"""How many numbers ridge learns from."""
MOST_ROWS = 20_000
MOST_CELLS = 1_000_000
"""Each leaf of each tree holds a number a target: more cells than this would fill gigabytes."""


def ridge(preprocessing: Preprocessing, train: Arrays) -> Callable[[pa.Table], Values]:
    """Return ridge regression on the network's inputs.

    The penalty of each target is chosen by generalized cross-validation on the train rows. Of
    very many, as many are learned from as fill 256 MB, since the fit makes several copies.
    """
    width = train.inputs.shape[1] + train.targets.shape[1]
    train = _at_most(train, max(1_000, MOST_NUMBERS // width))
    return _fitted(preprocessing, train, _fit_ridge, _alike(train.targets))


def trees(preprocessing: Preprocessing, train: Arrays) -> Callable[[pa.Table], Values]:
    """Return extremely randomized trees (Geurts, Ernst & Wehenkel 2006) on the network's inputs.

    Learned from 20,000 train rows at most, fewer where there are many targets. Targets that miss
    nearly the same rows share their trees, which learn from the rows that know them all.
    """
    most = min(MOST_ROWS, max(1_000, MOST_CELLS // train.targets.shape[1]))
    train = _at_most(train, most)
    return _fitted(preprocessing, train, _fit_trees, _nearly_alike(train.targets))


def _at_most(train: Arrays, most: int) -> Arrays:
    """Return the rows, or `most` of them, always the same ones."""
    count = len(train.inputs)
    if count <= most:
        return train
    own = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    return Arrays(train.inputs[own], train.targets[own], train.weight[own])


def _fitted(
    preprocessing: Preprocessing, train: Arrays, fit: Fit, sets: list[Pattern]
) -> Callable[[pa.Table], Values]:
    inputs = train.inputs.astype(np.float64)
    models = []
    for alike, seen in sets:
        counts = seen & (train.weight > 0)
        if counts.any():
            cells = train.targets[counts][:, alike].astype(np.float64)
            models.append(
                (alike, fit(inputs[counts], cells, train.weight[counts].astype(np.float64)))
            )
    outputs = train.targets.shape[1]

    def predict(rows: pa.Table) -> Values:
        given = preprocessing.encode(rows).astype(np.float64)
        scaled = np.full((len(rows), outputs), np.nan)
        for alike, model in models if len(rows) else ():
            scaled[:, alike] = model(given).reshape(len(rows), len(alike))
        return preprocessing.invert(scaled, rows)

    return predict


def _alike(targets: NDArray[Any]) -> list[Pattern]:
    """Return the targets that are observed in the same rows, and those rows."""
    observed = ~np.isnan(targets)
    alike: dict[bytes, list[int]] = {}
    for i, column in enumerate(observed.T):
        alike.setdefault(column.tobytes(), []).append(i)
    return [(columns, observed[:, columns[0]]) for columns in alike.values()]


def _nearly_alike(targets: NDArray[Any]) -> list[Pattern]:
    """Return targets that are observed in the same rows but for LOST, and the rows of all."""
    sets: list[Pattern] = []
    for columns, seen in _alike(targets):
        for i, (others, rows) in enumerate(sets):
            both = rows & seen
            if both.sum() >= (1 - LOST) * max(rows.sum(), seen.sum()):
                sets[i] = (others + columns, both)
                break
        else:
            sets.append((columns, seen))
    return sets


def _fit_ridge(inputs: Values, targets: Values, weight: Values) -> Callable[[Values], Values]:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(ALPHAS, alpha_per_target=True)
    predict: Callable[[Values], Values] = model.fit(inputs, targets, sample_weight=weight).predict
    return predict


def _fit_trees(inputs: Values, targets: Values, weight: Values) -> Callable[[Values], Values]:
    from sklearn.ensemble import ExtraTreesRegressor

    width = inputs.shape[1]
    model = ExtraTreesRegressor(
        TREES,
        min_samples_leaf=3,
        max_features=max(min(width, FEATURES), width // 3),
        n_jobs=-1,
        random_state=0,
    )
    # A single target is asked for flat.
    model.fit(inputs, targets[:, 0] if targets.shape[1] == 1 else targets, sample_weight=weight)
    # Threads add up trees in any order, and so round differently each time. Nor can rows be dealt
    # to threads: scikit-learn sets the warnings' filters as it predicts, which threads share.
    model.n_jobs = 1
    predict: Callable[[Values], Values] = model.predict
    return predict
