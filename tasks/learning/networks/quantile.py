"""`architecture: quantile`: chosen quantiles of each target, never crossing.

Sources: Koenker & Bassett 1978 for the loss; the sum of positive steps outwards from the median
keeps the order, as in Gasthaus et al. 2019 (Probabilistic forecasting with spline quantile function
RNNs, AISTATS) and Park et al. 2022 (arXiv 2111.06581).
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tasks.learning.architecture import Architecture, Inputs, run_network, shared_noise
from tasks.learning.layout import Layout
from tasks.learning.losses import pinball
from tasks.learning.networks.trunk import trunk
from tasks.learning.predictions import Answer, Values

if TYPE_CHECKING:
    from data_contracts.recipes.quantile import QuantileRecipe


def normal_scores(levels: Sequence[float]) -> Values:
    """Return the standard normal distribution's quantiles at levels."""
    return np.array([NormalDist().inv_cdf(level) for level in levels])


@keras.saving.register_keras_serializable("polycast")
class OrderedQuantiles(keras.layers.Layer):
    """Raw numbers (rows, targets * levels) to quantiles (rows, targets, levels) in order.

    The median is a raw number; every other quantile is its neighbour's on the median's side, and
    a positive step outwards. Raw numbers of zero stand for the standard normal distribution.
    """

    def __init__(self, levels: list[float], **options: Any) -> None:
        super().__init__(**options)
        self.levels = [float(level) for level in levels]
        self.median = self.levels.index(0.5)
        self.gaps = np.abs(np.diff(normal_scores(self.levels))) / np.log(2.0)

    def call(self, raw: Any) -> Any:
        """Return the quantiles."""
        raw = ops.reshape(raw, (-1, raw.shape[-1] // len(self.levels), len(self.levels)))
        quantiles = [raw[..., self.median]]
        # Added one by one: rounding keeps such sums in order, but not those of a parallel sum.
        for i in range(self.median + 1, len(self.levels)):
            step = ops.softplus(raw[..., i]) * float(self.gaps[i - 1])
            quantiles.append(quantiles[-1] + step)
        for i in range(self.median - 1, -1, -1):
            step = ops.softplus(raw[..., i]) * float(self.gaps[i])
            quantiles.insert(0, quantiles[0] - step)
        return ops.stack(quantiles, axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, targets, levels)."""
        return (shape[0], shape[-1] // len(self.levels), len(self.levels))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "levels": self.levels}


class PinballLosses:
    """The mean over levels of a quantile's loss, target by target.

    The raw output is (rows, targets, levels).
    """

    def __init__(self, names: Sequence[str], levels: Sequence[float]) -> None:
        self.names = tuple(names)
        self.levels = tuple(levels)

    def __call__(self, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, targets)."""
        output, truth = ops.cast(output, "float32"), truth[..., None]
        observed = ops.logical_not(ops.isnan(truth))
        error = ops.where(observed, output - ops.where(observed, truth, 0.0), 0.0)
        levels = ops.convert_to_tensor(self.levels, "float32")
        return ops.mean(pinball(error, levels), axis=-1)


class Quantile(Architecture):
    """Trunk and one output layer of a median and steps away from it per target."""

    def build(self, recipe: "QuantileRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to quantiles (rows, targets, levels)."""
        entry, hidden = trunk(recipe, layout)
        count = layout.targets * len(recipe.levels)
        raw = keras.layers.Dense(count, dtype="float32", name="steps")(hidden)
        ordered = OrderedQuantiles(list(recipe.levels), dtype="float32", name="quantiles")
        return keras.Model(entry, ordered(raw), name="quantile")

    def objective(self, recipe: "QuantileRecipe", layout: Layout) -> PinballLosses:
        """Return each target's own loss."""
        return PinballLosses([o.name for o in layout.outputs], recipe.levels)

    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return the median as the point, the quantiles, and samples.

        Samples of different targets are independent of each other: quantiles say nothing of how
        targets go together. There are none where the median is the only quantile.
        """
        quantiles, levels = run_network(network, inputs), settings["levels"]
        by_level = {float(q): quantiles[..., i] for i, q in enumerate(levels)}
        samples = None
        if draws and len(levels) > 1:
            noise = shared_noise(random, draws, quantiles.shape[1])
            samples = interpolate(quantiles, normal_scores(levels), noise)
        return Answer(by_level[0.5], quantiles=by_level, samples=samples)


def interpolate(quantiles: Values, scores: Values, noise: Values) -> Values:
    """Return samples (rows, draws, targets) for standard normal noise (draws, targets).

    Quantiles (rows, targets, levels) are joined by straight lines over the normal scores
    (levels,) of their levels; the outermost lines go on, so that the tails are Gaussian.
    """
    left = np.clip(np.searchsorted(scores, noise) - 1, 0, len(scores) - 2)
    share = (noise - scores[left]) / (scores[left + 1] - scores[left])
    target = np.arange(noise.shape[1])
    lower, upper = quantiles[:, target, left], quantiles[:, target, left + 1]
    samples: Values = lower + share * (upper - lower)
    return samples
