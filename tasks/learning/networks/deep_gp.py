"""`architecture: deep_gp`: a Gaussian process over learned features that keep distances.

Sources: Liu et al. 2020 (SNGP, arXiv 2006.10108) for residual layers under a spectral bound beneath
random features; Rahimi & Recht 2007 for the features. The targets are regressed on, so that the
posterior over the last layer is exact, no approximation.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tasks.learning.architecture import Architecture, Inputs, run_network, shared_noise
from tasks.learning.gaussian import cholesky
from tasks.learning.layout import Layout
from tasks.learning.losses import TargetLosses
from tasks.learning.networks.posterior import Posterior, fit_posterior
from tasks.learning.networks.spectral import BoundedDense, RandomFeatures
from tasks.learning.networks.trunk import dropped, noisy, penalty
from tasks.learning.predictions import Answer

if TYPE_CHECKING:
    from data_contracts.recipes.deep_gp import DeepGpRecipe

LENGTH_ROWS = 512
"""How many train rows the first length scale is taken from."""


class DeepGp(Architecture):
    """A trunk that keeps distances, random features, and a linear layer with its posterior."""

    def build(self, recipe: "DeepGpRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, 2 * targets).

        These are the means, and by how much of the noise's variance the process' own variance
        is larger than nothing: the covariance of targets i and j is S_ij sqrt((1 + v_i)
        (1 + v_j)), with the noise's covariance S.
        """
        entry = keras.Input((layout.width,), name="inputs")
        hidden = noisy(recipe, entry)
        for i, width in enumerate(recipe.hidden):
            hidden = _block(recipe, hidden, width, i)
        features = RandomFeatures(recipe.features, dtype="float32", name="features")
        raw = features(hidden)
        some = layout.train.inputs[:: max(1, len(layout.train.inputs) // LENGTH_ROWS)]
        features.start(keras.Model(entry, hidden).predict(some, verbose=0))
        posterior = Posterior(patterns(layout), dtype="float32", name="posterior")
        return keras.Model(entry, posterior(raw), name="deep_gp")

    def objective(self, recipe: "DeepGpRecipe", layout: Layout) -> TargetLosses:
        """Return each target's squared error."""
        count = layout.targets
        names = [o.name for o in layout.outputs]
        return TargetLosses(names, ["mse"] * count, [0.5] * count)

    def finish(
        self,
        network: keras.Model,
        recipe: "DeepGpRecipe",
        layout: Layout,
        validation: Any,
        beside: Any,
    ) -> keras.Model:
        """Return the network, its last layer replaced by its posterior over all train rows."""
        fit_posterior(network, layout.train, validation)
        return network

    def answer(
        self,
        network: keras.Model,
        inputs: Inputs,
        settings: Mapping[str, Any],
        draws: int,
        random: np.random.Generator,
    ) -> Answer:
        """Return mean, deviation and joint samples; the mean of samples is the mean."""
        raw, count = run_network(network, inputs), settings["targets"]
        mean, grown = raw[:, :count], np.sqrt(1.0 + raw[:, count:])
        covariance = np.asarray(network.get_layer("posterior").covariance, dtype=np.float64)
        factor = cholesky(covariance, "the covariance of deep_gp's noise")
        samples = None
        if draws:
            noise = shared_noise(random, draws, count) @ factor.T
            samples = mean[:, None] + noise * grown[:, None]
        return Answer(mean, np.sqrt(np.diag(covariance)) * grown, samples=samples)


def patterns(layout: Layout) -> list[int]:
    """Return each target's number among the different sets of train rows that lack a target."""
    known: dict[bytes, int] = {}
    columns = np.isnan(layout.train.targets).T
    return [known.setdefault(np.packbits(c).tobytes(), len(known)) for c in columns]


def _block(recipe: "DeepGpRecipe", entry: Any, width: int, i: int) -> Any:
    """Return a hidden layer: its input, and on it what the layer learned.

    Where widths differ the input is turned by fixed orthogonal directions, which keeps all
    distances where the layer is the wider one.
    """
    out = BoundedDense(
        width, recipe.spectral_bound, kernel_regularizer=penalty(recipe), name=f"hidden_{i}"
    )(entry)
    out = keras.layers.Activation(recipe.activation, name=f"activation_{i}")(out)
    out = dropped(recipe, out, str(i))
    if entry.shape[-1] != width:
        entry = keras.layers.Dense(
            width, use_bias=False, kernel_initializer="orthogonal", trainable=False,
            name=f"turned_{i}",
        )(entry)  # fmt: skip
    return keras.layers.Add(name=f"residual_{i}")([entry, out])
