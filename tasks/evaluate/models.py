"""What is asked for predictions: bundles, and baselines that are made to look like them.

A model takes raw rows and returns Predictions of the contract's targets, in units; NaN where it
has no answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.baselines import persistence, train_mean
from tasks.evaluate.parts import on_targets
from tasks.evaluate.seasonal import seasonal_persistence
from tasks.learning.conformal import LEVELS
from tasks.learning.predictions import Predictions
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import read_shard
from tasks.regressors import ridge, trees

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle

Values = NDArray[np.float64]
Model = Callable[[pa.Table], Predictions]

DRAWS = 64
"""Samples of each row that a distribution is scored by, where the model has one."""
SEED = 0


def point_model(targets: Sequence[str], predict: Callable[[pa.Table], Values]) -> Model:
    """Return the model of a function from raw rows to point predictions (rows, targets)."""
    return lambda rows: Predictions(tuple(targets), predict(rows))


@dataclass(frozen=True)
class BundleModel:
    """A bundle as a model of `targets`, with its samples and intervals where it has them."""

    bundle: "Bundle"
    targets: tuple[str, ...]
    draws: int = 0
    """How many samples of a row it answers with: none where it has no distribution."""

    def __call__(self, rows: pa.Table) -> Predictions:
        """Return predictions with all that the bundle can say."""
        found = self.bundle.predict(rows, self.draws, SEED, self._levels)
        return on_targets(found, self.targets)

    @property
    def _levels(self) -> list[float]:
        """The levels of its intervals that are scored."""
        fitted = self.bundle.conformal.levels if self.bundle.conformal else ()
        return [level for level in LEVELS if level in fitted]

    def sampled(self, rows: pa.Table) -> "BundleModel":
        """Return the model with samples, if it has any for raw rows to try it on."""
        has = self.bundle.predict(rows, 2, SEED).samples is not None
        return replace(self, draws=DRAWS if has else 0)

    def point(self, rows: pa.Table) -> Predictions:
        """Return what the published model answers when nothing but its means are asked for."""
        return on_targets(self.bundle.predict(rows), self.targets)


def bundle_model(folder: Path, targets: Sequence[str]) -> BundleModel:
    """Return the model in a bundle; NaN for targets that it does not predict."""
    from tasks.backends import backend

    backend()
    from tasks.learning.bundle import load_bundle

    return BundleModel(load_bundle(folder), tuple(targets))


def baseline_names(contract: Contract) -> list[str]:
    """Return the contract's baselines that can say something: some need a time or a present."""
    silent = set() if contract.time else {"seasonal_persistence"}
    silent |= set() if contract.present_columns else {"persistence"}
    return [name for name in contract.evaluation.baselines if name not in silent]


def baseline_models(
    contract: Contract, fold: Path, snapshot: Path, splits: Path
) -> dict[str, Model]:
    """Return the contract's baselines, fitted on the train shard in the folder of a fold.

    The train mean is always among them, since errors are related to its.
    """
    fitted = Preprocessing.from_json((fold / "preprocessing.json").read_text("utf-8"))

    def made(name: str) -> Callable[[pa.Table], Values]:
        match name:
            case "mean":
                return lambda rows: train_mean(fitted, rows)
            case "persistence":
                return lambda rows: persistence(contract, rows)
            case "seasonal_persistence":
                return lambda rows: seasonal_persistence(contract, snapshot, splits, rows)
        fit = {"ridge": ridge, "trees": trees}[name]
        return fit(fitted, read_shard(fold / "train.parquet"))

    targets = list(contract.target_columns)
    names = dict.fromkeys([*baseline_names(contract), "mean"])
    return {name: point_model(targets, made(name)) for name in names}
