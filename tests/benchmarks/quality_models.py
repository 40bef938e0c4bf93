"""The models that `quality` compares: peers at their defaults, and ours by recipe.

All get standardised targets, peers standardised inputs too. Ridge and the forests see all rows of a
train fold, the others stop early, or choose among epochs, by the validation rows. What cannot take
missing inputs gets the median. Where target cells are missing, CatBoost takes the loss that is
made for them. The others become one model per group of targets that are observed in the same rows,
but for one in a hundred: to leave out all rows in which any is missing costs them far more.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.quality_sets import Fold, Set

Values = NDArray[np.float64]
Answer = Callable[[Values], Values]
"""Answers (rows, targets) to inputs (rows, columns)."""

SEED = 0
CORES = len(os.sched_getaffinity(0))
"""How many threads each model may use: one on each core that this process may run on."""
LOST = 0.01
"""The share of observed rows that a target may lose by being in a group."""
PLAIN = {"architecture": "shared", "hidden": [128, 64], "epochs": 100, "batch_size": 32}


@dataclass(frozen=True)
class Rows:
    """Inputs and targets to train on, and to validate on."""

    x: Values
    y: Values
    x_val: Values
    y_val: Values

    def observed(self, targets: list[int]) -> "Rows":
        """Return some targets, (rows,) where it is one, in rows in which all of them are."""
        picked = targets if len(targets) > 1 else targets[0]
        own, other = (np.isfinite(y[:, targets]).all(axis=1) for y in (self.y, self.y_val))
        y, y_val = self.y[own][:, picked], self.y_val[other][:, picked]
        return Rows(self.x[own], y, self.x_val[other], y_val)


Fit = Callable[[dict[str, Any], Rows], Answer]


@dataclass(frozen=True)
class Peer:
    """How a peer is made and fitted."""

    package: str
    fit: Fit
    options: dict[str, Any]
    stops_early: bool = False
    imputed: bool = True


def _by_group(fit: Fit) -> Fit:
    """Return a fit of one model per group of targets that are observed in the same rows."""

    def fit_groups(options: dict[str, Any], rows: Rows) -> Answer:
        groups = _groups(rows.y)
        answers = [fit(options, rows.observed(group)) for group in groups]
        order = np.argsort([target for group in groups for target in group])
        return lambda x: np.concatenate(
            [answer(x).reshape(len(x), -1) for answer in answers], axis=1
        )[:, order]

    return fit_groups


def _groups(targets: Values) -> list[list[int]]:
    """Return groups of targets; a group's rows, all observed, are nearly those of each target."""
    groups: list[list[int]] = []
    seen = np.isfinite(targets)
    for target in range(seen.shape[1]):
        for group in groups:
            whole = seen[:, [*group, target]].all(axis=1).sum()
            if whole >= (1 - LOST) * seen[:, [*group, target]].sum(axis=0).max():
                group.append(target)
                break
        else:
            groups.append([target])
    return groups


def _forest(kind: str) -> Fit:
    return lambda options, rows: _sklearn(kind, options).fit(rows.x, rows.y).predict


def _sklearn(kind: str, options: dict[str, Any]) -> Any:
    from sklearn import ensemble, linear_model

    if kind == "RidgeCV":
        return linear_model.RidgeCV(np.logspace(-3, 5, 33), **options)
    return getattr(ensemble, kind)(**options, n_jobs=CORES, random_state=SEED)


def _xgboost(options: dict[str, Any], rows: Rows) -> Answer:
    import xgboost

    model = xgboost.XGBRegressor(**options, n_jobs=CORES, random_state=SEED)
    model.fit(rows.x, rows.y, eval_set=[(rows.x_val, rows.y_val)], verbose=False)
    return model.predict  # type: ignore[no-any-return]


def _catboost(options: dict[str, Any], rows: Rows) -> Answer:
    import catboost

    whole = np.isfinite(rows.y).all() and np.isfinite(rows.y_val).all()
    loss = "MultiRMSE" if whole else "MultiRMSEWithMissingValues"
    own = {"thread_count": CORES, "random_seed": SEED, "allow_writing_files": False}
    model = catboost.CatBoostRegressor(**options, **own, loss_function=loss, verbose=False)
    model.fit(rows.x, rows.y, eval_set=(rows.x_val, rows.y_val))
    return model.predict  # type: ignore[no-any-return]


def _realmlp(options: dict[str, Any], rows: Rows) -> Answer:
    from pytabkit import RealMLP_TD_Regressor

    logging.getLogger("pytorch_lightning").setLevel("ERROR")
    model = RealMLP_TD_Regressor(**options, device="cpu", n_threads=CORES, random_state=SEED)
    parts = (rows.x, rows.y, rows.x_val, rows.y_val)
    model.fit(*(part.astype(np.float32) for part in parts))
    return lambda x: model.predict(x.astype(np.float32))  # type: ignore[no-any-return]


PEERS = {
    "ridge": Peer("sklearn", _by_group(_forest("RidgeCV")), {"alpha_per_target": True}),
    "extra_trees": Peer(
        "sklearn", _by_group(_forest("ExtraTreesRegressor")), {"n_estimators": 300}
    ),
    "random_forest": Peer(
        "sklearn", _by_group(_forest("RandomForestRegressor")), {"n_estimators": 300}
    ),
    "xgboost": Peer(
        "xgboost",
        _by_group(_xgboost),
        {
            "multi_strategy": "multi_output_tree",
            "tree_method": "hist",
            "n_estimators": 1000,
            "learning_rate": 0.05,
            "max_depth": 6,
            "subsample": 0.8,
            "early_stopping_rounds": 50,
        },
        stops_early=True,
        imputed=False,
    ),
    "catboost": Peer(
        "catboost",
        _catboost,
        {"iterations": 1000, "learning_rate": 0.09, "depth": 6, "early_stopping_rounds": 100},
        stops_early=True,
        imputed=False,
    ),
    "realmlp": Peer("pytabkit", _by_group(_realmlp), {"n_cv": 1, "n_refit": 0}, stops_early=True),
}


def fit_peer(peer: Peer, data: Set, fold: Fold) -> Answer:
    """Return a fitted peer's answers to raw inputs, in units."""
    centre, scale = _moments(data.inputs[fold.train])
    mean, deviation = _moments(data.targets[fold.train])
    middle = _medians((data.inputs[fold.train] - centre) / scale)

    def ready(inputs: Values) -> Values:
        out = (inputs - centre) / scale
        return np.where(np.isfinite(out), out, middle) if peer.imputed else out

    own = fold.train
    # In the published split, a model of a fold has its train rows alone.
    if not peer.stops_early and not data.published:
        own = np.concatenate([fold.train, fold.validation])
    x, x_val = (ready(data.inputs[i]) for i in (own, fold.validation))
    y, y_val = ((data.targets[i] - mean) / deviation for i in (own, fold.validation))
    answer = peer.fit(peer.options, Rows(x, y, x_val, y_val))
    return lambda inputs: np.asarray(answer(ready(inputs))) * deviation + mean


def _moments(values: Values) -> tuple[Values, Values]:
    """Return the mean and the deviation of columns; 0 and 1 of those that say nothing."""
    seen = np.isfinite(values).any(axis=0)
    known = np.where(seen, values, 0.0)
    deviation = np.nanstd(known, axis=0)
    return np.nanmean(known, axis=0), np.where(deviation > 0, deviation, 1.0)


def _medians(values: Values) -> Values:
    seen = np.isfinite(values).any(axis=0)
    return np.asarray(np.nanmedian(np.where(seen, values, 0.0), axis=0))


def forget() -> None:
    """Let go of the networks of folds before, which Keras keeps: no part of a fit."""
    import keras

    keras.utils.clear_session()


def fit_ours(recipe: dict[str, Any], data: Set, fold: Fold) -> Callable[[], Values]:
    """Return a fitted network's answers to the fold's test rows, in units."""
    from tasks.backends import backend
    from tasks.learning.fitting import fit

    content = data.contract.model_dump(mode="json") | {"recipe": recipe}
    contract = type(data.contract).model_validate(content)
    parts = (data.rows.take(i) for i in (fold.train, fold.validation))
    bundle, _ = fit(contract, *parts, compiler=backend())
    test = data.rows.take(fold.test)
    return lambda: bundle.predict(test).mean
