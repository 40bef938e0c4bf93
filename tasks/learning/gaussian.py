"""Gaussians over the targets of a row: likelihoods where some are missing, samples, a check.

Missing targets are integrated out, which for a Gaussian means that their rows and columns are
left out of the covariance. Here that is done in place, so that every row has the same shape: a
missing target becomes one of error 0 and variance 1 that nothing goes together with, which adds
nothing to the likelihood, and neither does its gradient.
"""

import math
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from tasks.learning.errors import NotPositiveDefinite

Values = NDArray[np.float64]
LEAST_DEVIATION = 1e-3
"""The least deviation, in scaled units, of a target of which all targets before it are known."""
LEAST_NOISE = 1e-2
"""The least deviation, in scaled units, of a target beside the directions it shares."""
ROUNDING = 1e-7
"""The share, per target, by which variances grow before a factor is taken in float32: less, and
rounding may leave a covariance of nearly dependent targets without one."""


def lower_factor(raw: Any, targets: int) -> Any:
    """Return Cholesky factors (rows, targets, targets) from raw numbers, lower triangle row by row.

    `raw` is (rows, targets * (targets + 1) / 2). The diagonal is a softplus and above
    LEAST_DEVIATION; everything above the diagonal is 0.
    """
    raw = ops.cast(raw, "float32")
    count = targets * (targets + 1) // 2
    places = np.full((targets, targets), count)
    places[np.tril_indices(targets)] = np.arange(count)
    with_zero = ops.pad(raw, [[0, 0], [0, 1]])
    flat = ops.take(with_zero, ops.convert_to_tensor(places.ravel(), "int32"), axis=1)
    lower = ops.reshape(flat, (-1, targets, targets))
    diagonal = ops.convert_to_tensor(np.eye(targets, dtype=bool))
    return ops.where(diagonal, ops.softplus(lower) + LEAST_DEVIATION, lower)


def low_rank_factor(raw: Any, targets: int, rank: int) -> tuple[Any, Any]:
    """Return deviations (rows, targets) and directions (rows, targets, rank) from raw numbers.

    `raw` is (rows, targets + targets * rank). The covariance is the diagonal of the squared
    deviations and directions times their transpose.
    """
    raw = ops.cast(raw, "float32")
    deviations = ops.softplus(raw[:, :targets]) + LEAST_NOISE
    return deviations, ops.reshape(raw[:, targets:], (-1, targets, rank))


def full_nll(error: Any, observed: Any, factor: Any) -> Any:
    """Return the negative log likelihood (rows,) of the observed targets.

    `error` is (rows, targets) and 0 where a target is missing, `observed` says where it is not,
    `factor` is (rows, targets, targets), lower, of the covariance of all targets. First
    derivatives are those of the closed form (Petersen & Pedersen 2012, The Matrix Cookbook, 57
    and 61): backwards through a Cholesky factor they take many times as long.
    """
    known = ops.where(observed[..., None], factor, 0.0)
    fixed, gap = ops.stop_gradient(known), ops.stop_gradient(error)
    targets = factor.shape[-1]
    identity = ops.eye(targets, dtype="float32")
    part = ops.cholesky(_covariance(fixed, observed, identity))
    inverse = ops.solve_triangular(part, identity + ops.zeros_like(part), lower=True)
    white = ops.sum(inverse * gap[:, None], axis=-1)
    half_log_determinant = ops.sum(ops.log(_diagonal(part)), axis=-1)
    value = half_log_determinant + 0.5 * ops.sum(ops.square(white), axis=-1)
    # From here on only derivatives: `lean` has the value's, by error and by factor.
    pull = ops.sum(inverse * white[..., None], axis=1)
    precision = ops.matmul(ops.transpose(inverse, (0, 2, 1)), inverse)
    slope = precision - pull[:, :, None] * pull[:, None]
    slope = ops.matmul(slope * (1.0 + ROUNDING * targets * identity), fixed)
    lean = ops.sum(slope * known, axis=(1, 2)) + ops.sum(pull * error, axis=-1)
    return value + _constant(observed) + (lean - ops.stop_gradient(lean))


def _covariance(known: Any, observed: Any, identity: Any) -> Any:
    """Return the covariance of observed targets, missing ones with variance 1 and no relation."""
    # Not a matrix product: some devices round its terms to fewer bits, and a factor is taken.
    covariance = ops.sum(known[:, :, None] * known[:, None], axis=-1)
    grown = ops.sum(ops.square(known), axis=-1) * (ROUNDING * known.shape[-1])
    return covariance + ops.where(observed, grown, 1.0)[..., None] * identity


def low_rank_nll(error: Any, observed: Any, deviations: Any, directions: Any) -> Any:
    """Return the negative log likelihood (rows,) of the observed targets.

    As `full_nll`, for a covariance of a diagonal and a few directions (see `low_rank_factor`).
    By Woodbury's identity only a rank by rank matrix has to be factored.
    """
    deviations = ops.where(observed, deviations, 1.0)
    white = error / deviations
    scaled = ops.where(observed[..., None], directions / deviations[..., None], 0.0)
    inner = ops.sum(scaled[..., :, None] * scaled[..., None, :], axis=1)
    rank = directions.shape[-1]
    grown = 1.0 + ROUNDING * rank * _diagonal(inner)
    part = ops.cholesky(inner + grown[..., None] * ops.eye(rank, dtype="float32"))
    shared = ops.sum(scaled * white[..., None], axis=1)
    along = ops.solve_triangular(part, shared[..., None], lower=True)[..., 0]
    # Not the squares' difference, which cancels: so the growth enters to second order alone.
    turned = ops.transpose(part, (0, 2, 1))
    shift = ops.solve_triangular(turned, along[..., None], lower=False)[..., 0]
    rest = white - ops.sum(scaled * shift[:, None], axis=-1)
    square = ops.sum(ops.square(rest), axis=-1) + ops.sum(ops.square(shift), axis=-1)
    determinant = ops.sum(ops.log(deviations), axis=-1) + ops.sum(ops.log(_diagonal(part)), axis=-1)
    return determinant + 0.5 * square + _constant(observed)


def cholesky(covariance: Values, what: str) -> Values:
    """Return the lower Cholesky factor of a covariance (targets, targets), float64.

    Raises NotPositiveDefinite, which says `what` the covariance is and its least eigenvalue.
    """
    finite = bool(np.isfinite(covariance).all())
    least = float(np.linalg.eigvalsh(covariance)[0]) if finite else math.nan
    if not least > 0:
        raise NotPositiveDefinite(what, covariance.shape, least)
    return np.asarray(np.linalg.cholesky(covariance), np.float64)


def _constant(observed: Any) -> Any:
    count = ops.sum(ops.cast(observed, "float32"), axis=-1)
    return 0.5 * math.log(2 * math.pi) * count


def _diagonal(matrices: Any) -> Any:
    return ops.diagonal(matrices, axis1=-2, axis2=-1)
