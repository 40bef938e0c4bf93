"""`architecture: joint_gaussian`: the mean and the covariance of all targets, given the inputs.

Sources: Williams 1996 (Neural Computation 8(4)) for a Cholesky factor as a network's output; the
diagonal with a few directions is a factor analysis whose loadings follow from the inputs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tasks.learning.architecture import Architecture, Inputs, run_network, shared_noise
from tasks.learning.gaussian import full_nll, low_rank_factor, low_rank_nll, lower_factor
from tasks.learning.layout import Layout
from tasks.learning.networks.trunk import trunk
from tasks.learning.predictions import Answer, Values

if TYPE_CHECKING:
    from data_contracts.recipes.joint_gaussian import JointGaussianRecipe

MOST_FULL = 50
"""The most targets for which `covariance: auto` is full."""
CELLS = 4_000_000
"""How many numbers of factors are held at a time."""


class JointLikelihood:
    """The negative log likelihood of a row's observed targets together, per target of the network.

    The raw output is (rows, targets + targets * (targets + 1) / 2): the means and a Cholesky
    factor; or, with a `rank`, (rows, targets + targets + targets * rank): the means, deviations
    and directions. Missing targets are integrated out exactly.
    """

    names = ("all targets",)

    def __init__(self, targets: int, rank: int | None) -> None:
        self.targets = targets
        self.rank = rank

    def __call__(self, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, 1)."""
        output = ops.cast(output, "float32")
        observed = ops.logical_not(ops.isnan(truth))
        known = ops.where(observed, truth, 0.0)
        error = ops.where(observed, known - output[:, : self.targets], 0.0)
        raw = output[:, self.targets :]
        if self.rank is None:
            likelihood = full_nll(error, observed, lower_factor(raw, self.targets))
        else:
            parts = low_rank_factor(raw, self.targets, self.rank)
            likelihood = low_rank_nll(error, observed, *parts)
        return likelihood[:, None] / self.targets


class JointGaussian(Architecture):
    """Trunk, then one output layer for the means and one for what makes the covariance."""

    def build(self, recipe: "JointGaussianRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to the raw output of JointLikelihood."""
        entry, hidden = trunk(recipe, layout)
        count, rank = layout.targets, rank_of(recipe, layout.targets)
        means = keras.layers.Dense(count, dtype="float32", name="means")(hidden)
        numbers = count * (count + 1) // 2 if rank is None else count * (1 + rank)
        spreads = keras.layers.Dense(numbers, dtype="float32", name="covariance")(hidden)
        raw = keras.layers.Concatenate(dtype="float32", name="output")([means, spreads])
        return keras.Model(entry, raw, name="joint_gaussian")

    def objective(self, recipe: "JointGaussianRecipe", layout: Layout) -> JointLikelihood:
        """Return the exact likelihood of all targets together."""
        return JointLikelihood(layout.targets, rank_of(recipe, layout.targets))

    def settings(self, recipe: "JointGaussianRecipe", layout: Layout) -> dict[str, Any]:
        """Return the recipe as plain data, with `targets`, and with the `rank` that is used.

        The rank is None where the covariance is full.
        """
        rank = rank_of(recipe, layout.targets)
        return {**super().settings(recipe, layout), "rank": rank}

    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return mean, deviation and joint samples; the mean of samples is the mean."""
        raw = run_network(network, inputs)
        count, rank = settings["targets"], settings["rank"]
        mean = raw[:, :count]
        noise = shared_noise(random, draws, count + (rank or 0))
        step = max(1, CELLS // (count * (count + 1)))
        parts = [
            _spread(raw[i : i + step, count:], count, rank, noise) for i in range(0, len(raw), step)
        ]
        spread, around = (np.concatenate(kind) for kind in zip(*parts, strict=True))
        return Answer(mean, spread, samples=mean[:, None] + around if draws else None)


def rank_of(recipe: "JointGaussianRecipe", targets: int) -> int | None:
    """Return how many directions the covariance has, None where it is full."""
    small = targets <= MOST_FULL
    if recipe.covariance == "full" or (recipe.covariance == "auto" and small):
        return None
    return min(recipe.rank, targets)


def _spread(raw: Values, targets: int, rank: int | None, noise: Values) -> tuple[Values, Values]:
    """Return deviations (rows, targets), and samples (rows, draws, targets) around the mean.

    `noise` is standard normal, (draws, targets), or (draws, targets + rank) with a rank.
    """
    if rank is None:
        factor = _exact(lower_factor(raw, targets))
        return np.sqrt((factor**2).sum(axis=-1)), noise @ factor.swapaxes(1, 2)
    deviations, directions = map(_exact, low_rank_factor(raw, targets, rank))
    spread = np.sqrt(deviations**2 + (directions**2).sum(axis=-1))
    own = noise[:, :targets] * deviations[:, None]
    return spread, own + noise[:, targets:] @ directions.swapaxes(1, 2)


def _exact(values: Any) -> Values:
    return np.asarray(ops.convert_to_numpy(values), dtype=np.float64)
