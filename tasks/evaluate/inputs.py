"""What a candidate is evaluated with: rows, models and the version to compare with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.control import CONTROL
from tasks.evaluate.blocks import CANDIDATE, CHAMPION, Fresh
from tasks.evaluate.cost import cost
from tasks.evaluate.fold_rows import FoldRows, block_rows
from tasks.evaluate.importance import ROWS, importance
from tasks.evaluate.models import (
    BundleModel,
    Model,
    baseline_models,
    baseline_names,
    bundle_model,
)
from tasks.evaluate.opponent import Rival, as_recipe, meet
from tasks.learning.slices import Slicer
from tasks.records import Candidate, Cost
from tasks.registry import Version
from tasks.storage import root_storage

TRAIN_ROWS = 100_000
"""From how many train rows at most the slices are made."""


@dataclass(frozen=True)
class Inputs:
    """All that is read from the storage root and the registry, when it is asked for."""

    contract: Contract
    candidate: Candidate
    rival: Candidate | None = None

    @cached_property
    def rows(self) -> Path:
        """The file of all raw rows."""
        place = self.candidate.shards.checked.snapshot.place
        return root_storage().fetch(place) / "rows.parquet"

    @cached_property
    def shards(self) -> Path:
        """The folder of the shards."""
        return root_storage().fetch(self.candidate.shards.place)

    def split(self, fold: int, name: str) -> FoldRows:
        """Return the raw rows of a fold's split, with all columns that the rival may learn from."""
        more = self.candidate.shards.checked.snapshot.columns if self.rival else ()
        return FoldRows(self.contract, self.rows, self.shards / "splits.parquet", fold, name, more)

    @cached_property
    def tests(self) -> list[FoldRows]:
        """The test rows of each fold; of several, where it is judged by cross-validation."""
        return [self.split(fold.index, "test") for fold in self.candidate.shards.folds]

    @cached_property
    def slicer(self) -> Slicer:
        """The parts of the rows that errors are looked at apart."""
        train = self.split(self.tests[0].fold, "train").sample(TRAIN_ROWS)
        return Slicer.fit(self.contract, train)

    def spreads(self, fold: int) -> NDArray[np.float64]:
        """Return each target's deviation (targets,) in the train rows of a fold."""
        return self.split(fold, "train").spreads()

    def meet(self, version: Version | None) -> Rival | None:
        """Return the version to compare with; under cross-validation as its recipe."""
        if version is None:
            return None
        met = meet(self.contract, version, self.tests[0].sample(1))
        if len(self.tests) == 1:
            return met
        return as_recipe(self.contract, met, self.candidate, self.rival)

    def names(self, met: Rival | None) -> list[str]:
        """Return the models that are scored, in order."""
        own = [CANDIDATE]
        if (self._trained(self.candidate, self.tests[0].fold) / "control").is_dir():
            own.append(CONTROL)
        if met is not None and met.facts.shared:
            own.append(CHAMPION)
        return own + baseline_names(self.contract)

    def models(self, fold: int, met: Rival | None) -> dict[str, Model]:
        """Return the models of a fold by name: those that are scored, and the train mean."""
        trained = self._trained(self.candidate, fold)
        own: dict[str, Model] = {CANDIDATE: self._bundle(trained / "bundle")}
        names = self.names(met)
        if CONTROL in names:
            own[CONTROL] = self._bundle(trained / "control")
        if CHAMPION in names and met is not None and met.model is not None:
            own[CHAMPION] = met.model
        elif CHAMPION in names and self.rival is not None:
            own[CHAMPION] = self._bundle(self._trained(self.rival, fold) / "bundle")
        place = self.shards / f"fold_{fold}"
        return own | baseline_models(
            self.contract, place, self.rows, self.shards / "splits.parquet"
        )

    def _bundle(self, folder: Path) -> BundleModel:
        model = bundle_model(folder, list(self.contract.target_columns))
        return model.sampled(self.tests[0].sample(1))

    def _trained(self, candidate: Candidate, fold: int) -> Path:
        """Return the folder with the bundle that has not seen the fold's test rows."""
        folder = root_storage().fetch(candidate.place)
        return folder if len(self.tests) == 1 else folder / "folds" / f"fold_{fold}"

    def fresh(self, met: Rival | None) -> Fresh | None:
        """Return what tells the rows that the champion has not seen; None for all of them."""
        if met is None or met.model is None:
            return None
        return lambda rows: met.memory.fresh(self.contract, rows)

    def block_rows(self, models: dict[str, Model]) -> int:
        """Return how many rows the models answer at once."""
        draws = max(getattr(model, "draws", 0) for model in models.values())
        return block_rows(len(self.contract.target_columns), draws)

    def importance(self) -> dict[str, dict[str, float]]:
        """Return by feature and target what shuffling costs the first fold's model."""
        test = self.tests[0]
        model = self._bundle(self._trained(self.candidate, test.fold) / "bundle")
        most = block_rows(len(self.contract.target_columns), 0)
        return importance(self.contract, model.point, test.sample(ROWS), most)

    def cost(self) -> Cost:
        """Return what the bundle costs that would be published."""
        folder = root_storage().fetch(self.candidate.place) / "bundle"
        return cost(folder, self._bundle(folder).bundle, self.tests[0].sample(ROWS))
