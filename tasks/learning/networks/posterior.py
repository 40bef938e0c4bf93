"""The last layer of `deep_gp` and its exact posterior: Bayesian linear regression on features.

Targets that the same train rows lack share one posterior covariance, up to their noise's variance
(a matrix normal distribution). Linear algebra is float64 NumPy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from tasks.learning.architecture import run_network
from tasks.learning.shards import Arrays

Values = NDArray[np.float64]
RIDGES = tuple(float(r) for r in 10.0 ** np.arange(-4, 2.5, 0.5))
"""The noise's variance over that of weights before any row is seen: least first, one is chosen."""
STEP_ROWS = 65_536
LEAST_EIGENVALUE = 1e-4
"""The least eigenvalue that the noise's correlations keep."""
DOUBT_ROWS = 10.0
"""As many rows without a correlation are added to those that a correlation is taken from."""


@keras.saving.register_keras_serializable("polycast")
class Posterior(keras.layers.Layer):
    """Features (rows, features) to means and variance factors (rows, 2 * targets).

    `groups` says each target's group; targets of a group have one factor, the squared length of
    the features after `whitening` (groups, features, features). `covariance` (targets, targets)
    is the noise's. All but the kernel is set by `fit_posterior`.
    """

    def __init__(self, groups: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.groups = [int(g) for g in groups]

    def build(self, shape: Any) -> None:
        """Make the kernel, and what the fit sets."""
        features, targets = shape[-1], len(self.groups)
        self.kernel = self.add_weight((features, targets), "glorot_uniform", name="kernel")
        square = (max(self.groups) + 1, features, features)
        self.whitening = self.add_weight(square, "zeros", trainable=False, name="whitening")
        self.covariance = self.add_weight(
            (targets, targets), "identity", trainable=False, name="covariance"
        )

    def call(self, inputs: Any) -> Any:
        """Return the means, then the variance factors."""
        white = ops.matmul(inputs, self.whitening)
        factors = ops.transpose(ops.sum(ops.square(white), axis=-1))
        own = ops.take(factors, ops.convert_to_tensor(self.groups, "int32"), axis=-1)
        return ops.concatenate([ops.matmul(inputs, self.kernel), own], axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return (rows, 2 * targets)."""
        return (shape[0], 2 * len(self.groups))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "groups": self.groups}


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues (features,) and eigenvectors of features' second moments over train rows,
    and the features' products with targets (features, targets of the group) along them."""

    values: Values
    vectors: Values
    products: Values

    def mean(self, ridge: float) -> Values:
        """Return the weights' posterior mean (features, targets of the group)."""
        return np.asarray(self.vectors @ (self.products / (self.values + ridge)[:, None]))

    def whitening(self, ridge: float) -> Values:
        """Return the matrix W with W W' the weights' posterior covariance, for noise of 1."""
        return self.vectors / np.sqrt(self.values + ridge)


def fit_posterior(network: keras.Model, train: Arrays, validation: Arrays) -> None:
    """Set the layers' weights to the posterior over all train rows, and the noise's covariance.

    The validation rows choose the ridge of each group and give the noise's covariance; where a
    target has none of these, train rows stand in.
    """
    layer = network.get_layer("posterior")
    features = keras.Model(network.input, layer.input)
    kernel = np.zeros(layer.kernel.shape)
    whitening = np.zeros(layer.whitening.shape)
    held = _judging(train, validation)
    held_features = run_network(features, held.inputs)
    for group in range(len(whitening)):
        own = [i for i, g in enumerate(layer.groups) if g == group]
        spectrum = _spectrum(features, train, own)
        ridge = _ridge(spectrum, held_features, held.targets[:, own], held.weight)
        kernel[:, own], whitening[group] = spectrum.mean(ridge), spectrum.whitening(ridge)
    layer.kernel.assign(kernel)
    layer.whitening.assign(whitening)
    raw = run_network(network, held.inputs)
    layer.covariance.assign(noise_covariance(raw, held.targets, held.weight))


def _judging(train: Arrays, validation: Arrays) -> Arrays:
    """Return the validation rows, with train rows where a target has no validation value."""
    lacking = np.isnan(validation.targets).all(axis=0)
    if not lacking.any():
        return validation
    stand_in = np.where(lacking, train.targets, np.nan).astype(np.float32)
    both = zip(
        (validation.inputs, validation.targets, validation.weight),
        (train.inputs, stand_in, train.weight),
        strict=True,
    )
    return Arrays(*(np.concatenate(pair) for pair in both))


def _spectrum(features: keras.Model, train: Arrays, own: list[int]) -> Spectrum:
    size = features.output_shape[-1]
    moments, products = np.zeros((size, size)), np.zeros((size, len(own)))
    for rows, targets, weight in _steps(features, train, own):
        moments += (rows * weight[:, None]).T @ rows
        products += (rows * weight[:, None]).T @ targets
    values, vectors = np.linalg.eigh(moments)
    return Spectrum(np.maximum(values, 0.0), vectors, vectors.T @ products)


def _steps(
    features: keras.Model, train: Arrays, own: list[int]
) -> Iterator[tuple[Values, Values, Values]]:
    """Yield features, targets and weights of the train rows that have these targets."""
    known = np.flatnonzero(~np.isnan(train.targets[:, own[0]]))
    for start in range(0, len(known), STEP_ROWS):
        rows = known[start : start + STEP_ROWS]
        targets = train.targets[rows][:, own].astype(np.float64)
        weight = train.weight[rows].astype(np.float64)
        yield run_network(features, train.inputs[rows]), targets, weight


def _ridge(spectrum: Spectrum, features: Values, targets: Any, weight: Any) -> float:
    """Return the ridge under which held-out rows are likeliest, of those that claim little.

    One that claims little leaves the process, before any row is seen, the targets' own variance
    or more: far from all rows an answer is then no surer than one that knows only the targets'
    mean. Held-out rows say nothing of that, as they are near the train rows. Where noise is so
    little that no ridge does, it is the likeliest of all.
    """
    along = np.square(features @ spectrum.vectors)
    known = ~np.isnan(targets) * weight[:, None]
    rows = np.maximum(known.sum(axis=0), 1e-12)
    middle = np.nansum(targets * known, axis=0) / rows
    variance = np.nansum(np.square(targets - middle) * known, axis=0) / rows + 1e-12

    def judged(ridge: float) -> tuple[bool, float]:
        grown = 1.0 + along @ (1.0 / (spectrum.values + ridge))
        squares = np.square(targets - features @ spectrum.mean(ridge)) / grown[:, None]
        noise = np.nansum(squares * known, axis=0) / rows + 1e-12
        loss = np.sum(rows * np.log(noise)) + np.sum(np.log(grown)[:, None] * known)
        return ridge > np.median(noise / variance), float(loss)

    return min(RIDGES, key=judged)


def noise_covariance(raw: Values, targets: Any, weight: Any) -> Values:
    """Return the noise's covariance (targets, targets), positive definite.

    `raw` is the network's output for rows with `targets`, NaN where missing. Each pair of targets
    is judged by the rows that have both; a pair with few such rows counts as less related.
    """
    count = targets.shape[1]
    gap = (targets - raw[:, :count]) / np.sqrt(1.0 + raw[:, count:])
    known = ~np.isnan(gap) * np.sqrt(weight)[:, None]
    gap = np.where(np.isnan(gap), 0.0, gap) * np.sqrt(weight)[:, None]
    seen = np.maximum(np.square(known).sum(axis=0), 1e-12)
    variance = np.square(gap).sum(axis=0) / seen
    # A target that was never seen varies like any scaled target.
    variance = np.where(seen < 1e-9, 1.0, np.maximum(variance, 1e-8))
    both = known.T @ known
    related = gap.T @ gap / np.sqrt(np.outer(variance, variance)) / (both + DOUBT_ROWS)
    deviations = np.sqrt(variance)
    return np.asarray(nearest_correlation(related) * np.outer(deviations, deviations))


def nearest_correlation(related: Values) -> Values:
    """Return correlations (targets, targets) near `related` that are positive definite."""
    filled = related.copy()
    np.fill_diagonal(filled, 1.0)
    values, vectors = np.linalg.eigh(filled)
    whole = (vectors * np.maximum(values, LEAST_EIGENVALUE)) @ vectors.T
    size = np.sqrt(np.diag(whole))
    return np.asarray(whole / np.outer(size, size))
