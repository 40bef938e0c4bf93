"""All scores of the models of one fold, from sums that are fed block by block."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.control import CONTROL
from tasks.counting import BrokenSums
from tasks.errors import DataError
from tasks.evaluate.blocks import CANDIDATE, CHAMPION, Block
from tasks.learning.conformal import LEVELS
from tasks.learning.distribution_sums import DistributionSums
from tasks.learning.joint_sums import JointSums
from tasks.learning.pair_sums import PairSums
from tasks.learning.point_sums import PointErrors, PointSums
from tasks.records import ConstraintCount, Distribution, JointScore, Score

Values = NDArray[np.float64]
MEAN = "mean"
"""The baseline whose rmse all others are related to."""
NETWORKS = (CANDIDATE, CHAMPION, CONTROL)


class FoldSums:
    """Sums of the errors of `models` by target. Joint scores divide each target by its `scale`.

    A model is scored on the rows that it answers; `MEAN` is needed for rrmse, though it may have
    no place among the `models` that are scored.
    """

    def __init__(self, contract: Contract, fold: int, models: Sequence[str], scale: Values) -> None:
        self.contract, self.fold, self.models = contract, fold, tuple(models)
        self.targets = tuple(contract.target_columns)
        count = len(self.targets)
        self.observed = np.zeros(count)
        self.points = {m: PointSums(count) for m in self.models}
        self.pairs = PairSums(tuple(dict.fromkeys([*self.models, MEAN])), count)
        networks = [m for m in self.models if m in NETWORKS]
        self.distributions = {m: DistributionSums(count, LEVELS) for m in networks}
        self.joints = {m: JointSums(scale, LEVELS) for m in self.models}
        self.broken = BrokenSums(contract, self.models)

    def add(self, block: Block) -> None:
        """Add a block of the fold's test rows."""
        truth, weight, means = block.truth, block.weight, block.means
        self.observed += (~np.isnan(truth)).sum(axis=0)
        nothing = np.full_like(truth, np.nan)
        self.pairs.add(truth, {m: means.get(m, nothing) for m in self.pairs.models}, weight)
        for model in self.models:
            self.points[model].add(truth, means[model], weight)
            self.joints[model].add(truth, block.answers[model], weight)
        for model, sums in self.distributions.items():
            sums.add(truth, block.answers[model], weight)
        self.broken.add(block.rows, means)

    def scores(self) -> list[Score]:
        """Return a score a target and model that has an answer, in order of the targets.

        Raises DataError where a target is known in no test row that counts.
        """
        found = {m: sums.errors() for m, sums in self.points.items()}
        for target, errors, seen in zip(self.targets, found[CANDIDATE], self.observed, strict=True):
            if errors is None:
                where = "test row that counts" if seen else "test row"
                raise DataError(f"{target} is observed in no {where}: no verdict can be reached")
        shapes = {m: _distributions(sums) for m, sums in self.distributions.items()}
        return [
            self._score(model, i, errors, shapes.get(model))
            for i in range(len(self.targets))
            for model, every in found.items()
            if (errors := every[i]) is not None
        ]

    def _score(
        self, model: str, target: int, errors: PointErrors, shapes: list[Distribution | None] | None
    ) -> Score:
        """Return one model's score. A point's distribution is the point alone."""
        own = None if shapes is None else shapes[target]
        return Score(
            fold=self.fold,
            model=model,
            target=self.targets[target],
            rows=errors.rows,
            mae=errors.mae,
            rmse=errors.rmse,
            r2=errors.r2,
            r2_note=errors.r2_note,
            rrmse=self._ratio(model, MEAN, target),
            bias=errors.bias,
            max_error=errors.max_error,
            correlation=errors.correlation,
            skill=self._skill(model, target),
            candidate=self._candidate(model, target),
            distribution=own or Distribution(crps=errors.mae),
        )

    def _ratio(self, model: str, other: str, target: int) -> float | None:
        """Return the rmse of a model over another's, on the rows that both answer."""
        own, its = self.pairs.of(model, other, target), self.pairs.of(other, model, target)
        return own.rmse / its.rmse if own and its and its.rmse > 0 else None

    def _skill(self, model: str, target: int) -> dict[str, float]:
        baselines = [m for m in self.models if m not in NETWORKS]
        ratios = {b: self._ratio(model, b, target) for b in baselines}
        return {b: 1 - ratio for b, ratio in ratios.items() if ratio is not None}

    def _candidate(self, model: str, target: int) -> dict[str, float]:
        pair = None if model == CANDIDATE else self.pairs.of(CANDIDATE, model, target)
        return {} if pair is None else {"mae": pair.mae, "rmse": pair.rmse}

    def joint(self) -> list[JointScore]:
        """Return each model's scores of all targets together, where it answers them all."""
        found = {m: sums.scores() for m, sums in self.joints.items()}
        return [
            JointScore(fold=self.fold, model=model, **asdict(scores))
            for model, scores in found.items()
            if scores is not None
        ]

    def counts(self) -> list[ConstraintCount]:
        """Return in how many rows each model breaks each constraint that names a target."""
        return self.broken.counts(self.fold)


def _distributions(sums: DistributionSums) -> list[Distribution | None]:
    return [None if s is None else Distribution(**asdict(s)) for s in sums.scores()]
