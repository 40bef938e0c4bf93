"""What architectures that predict each target by itself have in common: objective and answer."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tasks.learning.architecture import Architecture, Inputs, run_network, shared_noise
from tasks.learning.layout import Layout
from tasks.learning.losses import TargetLosses, spread_of
from tasks.learning.networks.outputs import deviations, losses_by_target, point_objective
from tasks.learning.predictions import Answer


class PointArchitecture(Architecture):
    """Answers with a point per target and, where a target's loss has one, a deviation."""

    def losses(self, recipe: Any, layout: Layout) -> list[str]:
        """Return each target's loss."""
        return losses_by_target(recipe, layout)

    def objective(self, recipe: Any, layout: Layout) -> TargetLosses:
        """Return the targets' own losses."""
        return point_objective(self.losses(recipe, layout), layout)

    def settings(self, recipe: Any, layout: Layout) -> dict[str, Any]:
        """Return the recipe as plain data, and which targets have a deviation."""
        own = {"deviations": deviations(self.losses(recipe, layout))}
        return super().settings(recipe, layout) | own

    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return points; deviations where there are any (NaN for other targets); members."""
        raw = run_network(network, inputs)
        points, own = raw[..., : settings["targets"]], settings["deviations"]
        spread = None
        if own:
            spread = np.full(points.shape, np.nan)
            spread[..., own] = spread_of(raw[..., settings["targets"] :])
        if points.ndim == 3:
            within = None if spread is None else np.sqrt((spread**2).mean(axis=1))
            return Answer(points.mean(axis=1), within, members=points)
        return Answer(points, spread, samples=_samples(points, spread, draws, random))


def _samples(points: Any, spread: Any, draws: int, random: np.random.Generator) -> Any:
    """Return draws of targets that are independent of each other, None where one has no
    deviation."""
    if not draws or spread is None or np.isnan(spread).any():
        return None
    return points[:, None] + spread[:, None] * shared_noise(random, draws, points.shape[1])
