"""Tuned recipes against `auto`, and each strategy against the others.

python -m tests.benchmarks.tuning [--quick] [--json FILE]

On four sets, at most 2,000 train rows of each, over five seeds, each strategy gets the same number
of trials of one network, `shared`; a grid has just so many points. Figures by set:
`<strategy>.error` (the least validation error), `<strategy>.armse` (that recipe on the test rows,
which the search never sees: the mean over targets of RMSE over the train mean's), `untuned.armse`
of the contract's own recipe, `auto.armse`, `<strategy>.of_untuned` and `<strategy>.of_auto`, and
over all sets and seeds `bayesian.beats.<other>`, the share of studies with less validation error,
and `bayesian.equals.<other>`.
"""

import os
import tempfile
from itertools import product
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.backends import backend
from tasks.records import Fold, Shards
from tasks.storage import root_storage
from tests.benchmarks.harness import Figures, run
from tests.benchmarks.sets import DataSet, nyc_weather, outside_set
from tests.builders import CHECKED

OUTSIDE = ("enb", "air_quality_uci", "wq")
STRATEGIES = ("bayesian", "random", "grid")
POINTS: dict[str, Any] = {
    "hidden": [[64, 64], [256, 256]],
    "learning_rate": [1e-3, 3e-3, 1e-2],
    "dropout": [0.0, 0.2],
}
SPACE = POINTS | {
    "learning_rate": {"low": 3e-4, "high": 2e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.4},
}
TRIALS = 13
"""The contract's own recipe, and the points of the grid."""
MOST_ROWS = 2_000


def measure(quick: bool) -> Figures:
    """Tune each set by each strategy; `quick` takes one small set, one seed and four trials."""
    names = OUTSIDE[:1] if quick else OUTSIDE
    sets = [*([] if quick else [nyc_weather()]), *map(outside_set, names)]
    figures: Figures = {}
    wins: dict[str, list[float]] = {}
    for found in sets:
        if found is None:
            continue
        data = found.capped(256 if quick else MOST_ROWS)
        least: dict[str, list[float]] = {}
        armse: dict[str, list[float]] = {}
        for seed in range(1 if quick else 5):
            own = _recipe("shared", seed, quick)
            armse.setdefault("untuned", []).append(_armse(data, own))
            armse.setdefault("auto", []).append(_armse(data, _recipe("auto", seed, quick)))
            for strategy in STRATEGIES:
                recipe, error = _tuned(data, own, strategy, seed, 4 if quick else TRIALS)
                least.setdefault(strategy, []).append(error)
                armse.setdefault(strategy, []).append(_armse(data, recipe))
        for strategy, errors in least.items():
            figures[f"{data.name}.{strategy}.error"] = float(np.mean(errors))
            wins.setdefault(strategy, []).extend(errors)
        for name, values in armse.items():
            figures[f"{data.name}.{name}.armse"] = float(np.mean(values))
        for strategy, plain in product(STRATEGIES, ("untuned", "auto")):
            ratio = np.array(armse[strategy]) / np.array(armse[plain])
            figures[f"{data.name}.{strategy}.of_{plain}"] = float(np.mean(ratio))
    for other in STRATEGIES[1:] if wins else ():
        own, others = np.array(wins["bayesian"]), np.array(wins[other])
        figures[f"bayesian.beats.{other}"] = float(np.mean(own < others))
        figures[f"bayesian.equals.{other}"] = float(np.mean(own == others))
    return figures


def _recipe(architecture: str, seed: int, quick: bool) -> dict[str, Any]:
    return {"architecture": architecture, "seed": seed} | ({"epochs": 3} if quick else {})


def _of(data: DataSet, recipe: dict[str, Any], **other: Any) -> Contract:
    content = data.contract.model_dump(mode="json") | {"recipe": recipe} | other
    return Contract.model_validate(content)


def _tuned(
    data: DataSet, recipe: dict[str, Any], strategy: str, seed: int, trials: int
) -> tuple[dict[str, Any], float]:
    """Return the best recipe of a study that knows of no other, and its validation error."""
    from tasks.tuning.engines import processes
    from tasks.tuning.search import Budget, search
    from tasks.tuning.study import open_study

    space = POINTS if strategy == "grid" else SPACE
    tuning = {"space": space, "strategy": strategy, "seed": seed, "pruning": "none"}
    contract = _of(data, recipe, tuning=tuning)
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("POLYCAST_HOME")
        os.environ["POLYCAST_HOME"] = folder
        try:
            study = open_study(contract, _shards(contract, data))
            search(study, Budget(trials), processes)
        finally:
            if before is None:
                del os.environ["POLYCAST_HOME"]
            else:
                os.environ["POLYCAST_HOME"] = before
    assert study.best is not None
    return study.best.recipe, study.best.error


def _shards(contract: Contract, data: DataSet) -> Shards:
    """Keep the shards of a set's train and validation rows; there are none of its test rows."""
    from tasks.learning.fit_preprocessing import fit_preprocessing
    from tasks.learning.shards import shard_schema, to_columns, to_shard

    fitted = fit_preprocessing(contract, data.train)
    with root_storage().write("shards") as job:
        folder = job.folder / "fold_0"
        folder.mkdir()
        (folder / "preprocessing.json").write_text(fitted.to_json(), "utf-8")
        for split in ("train", "validation"):
            columns = to_columns(contract, fitted, getattr(data, split))
            table = to_shard(columns, shard_schema(fitted))
            pq.write_table(table, folder / f"{split}.parquet")
    rows = {"train": len(data.train), "validation": len(data.validation)}
    fold = Fold(index=0, rows=rows, inputs=len(fitted.inputs))
    targets = tuple(contract.target_columns)
    shards = Shards(checked=CHECKED, folds=(fold,), targets=targets, place="shards")
    return shards.model_copy(update={"hash": data.name})


def _armse(data: DataSet, recipe: dict[str, Any]) -> float:
    """Return a recipe's error on the test rows."""
    from tasks.learning.fitting import fit
    from tasks.learning.tables import numbers

    contract = _of(data, recipe)
    bundle, _ = fit(contract, data.train, data.validation, compiler=backend())
    names = list(contract.target_columns)
    train, truth = (
        np.stack([numbers(rows, t) for t in names], axis=1) for rows in (data.train, data.test)
    )
    missed = np.square(bundle.predict(data.test).mean - truth)
    plain = np.square(np.nanmean(train, axis=0) - truth)
    return float(np.mean(np.sqrt(np.nanmean(missed, axis=0) / np.nanmean(plain, axis=0))))


if __name__ == "__main__":
    run(measure, "Tuned recipes against the untuned one, by strategy")
