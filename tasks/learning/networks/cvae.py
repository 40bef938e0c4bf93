"""`architecture: cvae`: a conditional variational autoencoder over the targets.

Source: Sohn, Lee & Yan 2015 (Learning structured output representation using deep conditional
generative models, NeurIPS), with a standard normal prior.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from tasks.learning.architecture import Architecture, Inputs, run_network, shared_noise
from tasks.learning.layout import Layout
from tasks.learning.losses import gaussian_cells, spread_of, to_spread
from tasks.learning.networks.trunk import penalty, trunk
from tasks.learning.predictions import Answer, Values
from tasks.learning.trainee import Trainee

if TYPE_CHECKING:
    from data_contracts.recipes.cvae import CvaeRecipe

LEAST_CODES = 64
"""Latent vectors, at least, that a mean is taken over."""
VALIDATION_CODES = 16
"""Latent vectors that a validation row's likelihood is estimated from."""
PAIRS = 131072
"""Pairs of a row and a latent vector that are decoded at a time, to bound the memory."""


def decoded(truth: Any, output: Any) -> Any:
    """Return the log density (rows,) of each row's observed targets under a decoder's output.

    The output is (rows, 2 * targets): means, then raw deviations. A missing cell adds nothing.
    """
    means, raw = ops.split(ops.cast(output, "float32"), 2, axis=-1)
    return -ops.sum(gaussian_cells(truth, means, raw), axis=-1)


class Reconstruction:
    """The negative log density of a row's observed targets for one latent vector, per target.

    CvaeTrainee minimizes it together with the latent vector's divergence from its prior.
    """

    names = ("all targets",)

    def __init__(self, targets: int) -> None:
        self.targets = targets

    def __call__(self, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, 1) for the decoder's output (rows, 2 * targets)."""
        return -decoded(truth, output)[:, None] / self.targets


class CvaeTrainee(Trainee):
    """Network, which decodes, and encoder. The encoder sees the targets and is left behind.

    What is raised is a lower bound of the targets' log density, by weighing several latent
    vectors of a row by their importance (Burda, Grosse & Salakhutdinov 2016, arXiv 1509.00519):
    with one, Sohn's bound, the decoder smears what lies between two modes. Validation takes the
    same bound, with beta 1, and noise that is the same each time.
    """

    def __init__(
        self, network: keras.Model, objective: Reconstruction, recipe: "CvaeRecipe", layout: Layout
    ) -> None:
        super().__init__(network, objective)
        self.encoder = _encoder(recipe, layout)
        self.targets = layout.targets
        self.codes, self.beta = recipe.codes, recipe.beta
        self.warm_steps = recipe.warm_up * -(-layout.rows // recipe.batch_size)
        self.noise = keras.random.SeedGenerator(recipe.seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the inputs: what the network makes of them depends on the truth."""
        return inputs

    def losses_of(self, inputs: Any, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, 1); 0 for a row of which no target is observed."""
        observed = ops.logical_not(ops.isnan(truth))
        seen = ops.cast(observed, "float32")
        code = self.encoder([inputs, ops.where(observed, truth, 0.0), seen], training=training)
        center, raw = ops.split(ops.cast(code, "float32"), 2, axis=-1)
        spread, beta = to_spread(raw), self.prior_weight() if training else 1.0
        bounds = []
        for seed in [self.noise] * self.codes if training else range(VALIDATION_CODES):
            noise = keras.random.normal(ops.shape(center), dtype="float32", seed=seed)
            drawn = center + spread * noise
            raw = self.network([inputs, drawn], training=training)
            # How much likelier the vector is under the prior than under the encoder.
            apart = 0.5 * (ops.square(noise) - ops.square(drawn)) + ops.log(spread)
            bounds.append(decoded(truth, raw) + beta * ops.sum(apart, axis=-1))
        bound = ops.logsumexp(ops.stack(bounds), axis=0) - math.log(len(bounds))
        losses = -bound / self.targets
        return ops.where(ops.any(observed, axis=-1), losses, 0.0)[:, None]

    def prior_weight(self) -> Any:
        """Return the prior's weight at this step."""
        done = ops.cast(self.steps, "float32") / max(self.warm_steps, 1)
        return self.beta * ops.minimum(done, 1.0)


class Cvae(Architecture):
    """Trunk, then a decoder of what the trunk says and a latent vector."""

    def build(self, recipe: "CvaeRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) and latent vectors (rows, latent).

        It maps them to (rows, 2 * targets): means, then raw deviations.
        """
        entry, hidden = trunk(recipe, layout)
        latent = keras.Input((recipe.latent,), name="latent")
        both = keras.layers.Concatenate(name="hidden_and_latent")([hidden, latent])
        raw = _coder(recipe, both, 2 * layout.targets, "decoder")
        return keras.Model([entry, latent], raw, name="cvae")

    def objective(self, recipe: "CvaeRecipe", layout: Layout) -> Reconstruction:
        """Return how well targets are decoded from one latent vector."""
        return Reconstruction(layout.targets)

    def trainee(self, network: keras.Model, recipe: "CvaeRecipe", layout: Layout) -> Trainee:
        """Return network and encoder under training."""
        return CvaeTrainee(network, self.objective(recipe, layout), recipe, layout)

    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return mean and deviation over latent vectors, and joint samples, one a vector."""
        count = max(draws, LEAST_CODES)
        codes = shared_noise(random, count, settings["latent"])
        # Each vector's opposite is far from it in order: a part of them is taken at random.
        drawn = random.permutation(count)[:draws]
        noise = shared_noise(random, draws, settings["targets"])
        rows = max(1, PAIRS // count)
        parts = [
            _decode(network, inputs[i : i + rows], codes, drawn, noise)
            for i in range(0, len(inputs), rows)
        ]
        mean, spread, samples = (np.concatenate(kind) for kind in zip(*parts, strict=True))
        return Answer(mean, spread, samples=samples if draws else None)


def _encoder(recipe: "CvaeRecipe", layout: Layout) -> keras.Model:
    """Return a network from inputs, targets and what is observed to (rows, 2 * latent)."""
    sizes = {"inputs": layout.width, "truth": layout.targets, "observed": layout.targets}
    entries = [keras.Input((size,), name=f"encoded_{name}") for name, size in sizes.items()]
    both = keras.layers.Concatenate(name="inputs_and_truth")(entries)
    return keras.Model(entries, _coder(recipe, both, 2 * recipe.latent, "encoder"))


def _coder(recipe: "CvaeRecipe", entry: Any, outputs: int, name: str) -> Any:
    """Return two hidden layers and an output layer, float32, on an entry."""
    hidden = entry
    for i in range(2):
        hidden = keras.layers.Dense(
            recipe.coder_width, recipe.activation, kernel_regularizer=penalty(recipe),
            name=f"{name}_{i}",
        )(hidden)  # fmt: skip
    return keras.layers.Dense(outputs, dtype="float32", name=f"{name}_output")(hidden)


def _decode(
    network: keras.Model, inputs: Inputs, codes: Values, drawn: Any, noise: Values
) -> tuple[Values, Values, Values]:
    """Return mean and deviation (rows, targets) over all codes, samples for those drawn."""
    pairs = [
        np.repeat(inputs, len(codes), axis=0),
        np.tile(codes.astype(np.float32), (len(inputs), 1)),
    ]
    raw = run_network(network, pairs).reshape(len(inputs), len(codes), 2, -1)
    means, spreads = raw[:, :, 0], spread_of(raw[:, :, 1])
    spread = np.sqrt((spreads**2).mean(axis=1) + means.var(axis=1))
    return means.mean(axis=1), spread, means[:, drawn] + spreads[:, drawn] * noise
