"""`architecture: mixture`: a mixture of Gaussians over the targets.

Source: Bishop 1994, Mixture density networks (Aston University, NCRG/94/004).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tasks.learning.architecture import Architecture, Inputs, run_network, shared_noise
from tasks.learning.layout import Layout
from tasks.learning.losses import gaussian_cells, spread_of
from tasks.learning.networks.trunk import trunk
from tasks.learning.predictions import Answer, Values

if TYPE_CHECKING:
    from data_contracts.recipes.mixture import MixtureRecipe


class MixtureLikelihood:
    """The negative log likelihood of a row's observed targets, per target of the network.

    The raw output is (rows, components + 2 * components * targets): the components' logits, then
    all means, then all raw deviations, each component by component. Components are joint: all
    targets of a row come from one. Missing targets are integrated out, which is exact, as a
    component's targets are independent of each other.
    """

    names = ("all targets",)

    def __init__(self, components: int, targets: int) -> None:
        self.components = components
        self.targets = targets

    def __call__(self, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, 1)."""
        output = ops.cast(output, "float32")
        count, shape = self.components, (-1, self.components, self.targets)
        means, raw = ops.split(output[:, count:], 2, axis=-1)
        cells = gaussian_cells(truth[:, None], ops.reshape(means, shape), ops.reshape(raw, shape))
        joint = ops.log_softmax(output[:, :count], axis=-1) - ops.sum(cells, axis=-1)
        likelihood = ops.logsumexp(joint, axis=-1, keepdims=True)
        observed = ops.logical_not(ops.isnan(truth))
        return ops.where(ops.any(observed, axis=-1, keepdims=True), -likelihood / self.targets, 0.0)


class Mixture(Architecture):
    """Trunk and one output layer for weights, means and deviations of all components."""

    def build(self, recipe: "MixtureRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to the raw output of MixtureLikelihood."""
        entry, hidden = trunk(recipe, layout)
        cells = recipe.components * layout.targets
        logits = keras.layers.Dense(recipe.components, dtype="float32", name="logits")(hidden)
        # Components start apart, lest they all learn the same.
        apart = keras.initializers.RandomNormal(stddev=1.0)
        means = keras.layers.Dense(cells, dtype="float32", bias_initializer=apart, name="means")(
            hidden
        )
        spreads = keras.layers.Dense(cells, dtype="float32", name="deviations")(hidden)
        raw = keras.layers.Concatenate(dtype="float32", name="mixture")([logits, means, spreads])
        return keras.Model(entry, raw, name="mixture")

    def objective(self, recipe: "MixtureRecipe", layout: Layout) -> MixtureLikelihood:
        """Return the likelihood of all targets together."""
        return MixtureLikelihood(recipe.components, layout.targets)

    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return the mixture's mean and deviation, which are exact, and joint samples."""
        parts = _read(run_network(network, inputs), settings["components"])
        weight, means, spreads = parts
        mean = np.einsum("rc,rct->rt", weight, means)
        variance = np.einsum("rc,rct->rt", weight, spreads**2 + (means - mean[:, None]) ** 2)
        samples = draw_joint(*parts, draws, random) if draws else None
        return Answer(mean, np.sqrt(variance), samples=samples)


def _read(raw: Values, components: int) -> tuple[Values, Values, Values]:
    """Return weights (rows, components), means and deviations (rows, components, targets)."""
    logits = raw[:, :components]
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    rest = raw[:, components:].reshape(len(raw), 2, components, -1)
    return weight, rest[:, 0], spread_of(rest[:, 1])


def draw_joint(
    weight: Values, means: Values, spreads: Values, draws: int, random: np.random.Generator
) -> Values:
    """Return draws (rows, draws, targets), by the same uniform and normal numbers in each row.

    The uniform numbers, which choose components, are one in each of `draws` equal parts of 0 to
    1, in random order: each component is chosen as often as it weighs.
    """
    uniform = (random.permutation(draws) + random.random(draws)) / draws
    noise = shared_noise(random, draws, means.shape[2])
    edges = np.cumsum(weight, axis=1)[:, :-1]
    chosen = (uniform[None, :, None] > edges[:, None]).sum(axis=2)
    row = np.arange(len(weight))[:, None]
    samples: Values = means[row, chosen] + spreads[row, chosen] * noise
    return samples
