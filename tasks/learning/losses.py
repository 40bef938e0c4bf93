"""Losses of single targets, masked where a target is missing.

Missing targets are NaN in the truth. A masked cell adds nothing to the loss, and its gradient is
exactly zero.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

Values = NDArray[np.float64]
HUBER_DELTA = 1.0
SPREAD_LOSSES = ("gaussian_nll", "crps")
"""Losses of a mean and a deviation: the network has a second output for the deviation."""
LEAST_SPREAD = 1e-3
"""The least deviation, in scaled units, that a network can answer with."""


def _mse(error: Any) -> Any:
    return ops.square(error)


def _mae(error: Any) -> Any:
    return ops.abs(error)


def _huber(error: Any) -> Any:
    size = ops.abs(error)
    near = 0.5 * ops.square(error)
    return ops.where(size <= HUBER_DELTA, near, HUBER_DELTA * (size - 0.5 * HUBER_DELTA))


def _log_cosh(error: Any) -> Any:
    # Written so that no large error overflows.
    size = ops.abs(error)
    return size + ops.softplus(-2.0 * size) - math.log(2.0)


def pinball(error: Any, level: Any) -> Any:
    """Return the loss of a quantile at `level` for errors of prediction minus truth."""
    return ops.maximum((1.0 - level) * error, -level * error)


def gaussian_nll(error: Any, spread: Any) -> Any:
    """Return the negative log likelihood of a Gaussian, without its constant."""
    return ops.log(spread) + 0.5 * ops.square(error / spread)


def gaussian_crps(error: Any, spread: Any) -> Any:
    """Return the continuous ranked probability score of a Gaussian (Gneiting & Raftery 2007)."""
    z = error / spread
    density = ops.exp(-0.5 * ops.square(z)) / math.sqrt(2 * math.pi)
    below = 0.5 * (1.0 + ops.erf(z / math.sqrt(2.0)))
    return spread * (z * (2.0 * below - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi))


def to_spread(raw: Any) -> Any:
    """Return the deviation, positive, that a raw output stands for."""
    return ops.softplus(raw) + LEAST_SPREAD


def spread_of(raw: Values) -> Values:
    """Return what `to_spread` does of a network's answer, in float64."""
    spread: Values = np.logaddexp(0.0, raw) + LEAST_SPREAD
    return spread


def gaussian_cells(truth: Any, means: Any, raw: Any) -> Any:
    """Return the negative log density of each cell under a Gaussian of a raw deviation.

    Shapes broadcast. A missing cell is 0, and so is its gradient.
    """
    observed = ops.logical_not(ops.isnan(truth))
    # With an error of 0 and a deviation of 1 a missing cell has a log density of 0.
    error = ops.where(observed, means - ops.where(observed, truth, 0.0), 0.0)
    spread = ops.where(observed, to_spread(raw), 1.0)
    return gaussian_nll(error, spread) + ops.where(observed, 0.5 * math.log(2 * math.pi), 0.0)


POINT_LOSSES: dict[str, Callable[[Any], Any]] = {
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
    "log_cosh": _log_cosh,
}


class TargetLosses:
    """The objective of architectures that predict each target by itself.

    The raw output is (rows, targets), or (rows, targets + deviations) where any loss is one of
    SPREAD_LOSSES, with one deviation for each target of such a loss; a third axis in between
    holds members. Steps follow the mean of the members' losses, validation the loss of their mean.
    """

    def __init__(
        self, names: Sequence[str], losses: Sequence[str], levels: Sequence[float]
    ) -> None:
        self.names = tuple(names)
        self.losses = tuple(losses)
        self.levels = tuple(levels)

    def __call__(self, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, targets)."""
        output = ops.cast(output, "float32")
        members = len(output.shape) == 3
        if members and not training:
            output, members = self._mean(output), False
        truth = truth[:, None, :] if members else truth
        observed = ops.logical_not(ops.isnan(truth))
        count = len(self.names)
        error = ops.where(observed, output[..., :count] - ops.where(observed, truth, 0.0), 0.0)
        cells = self._cells(error, output[..., count:])
        # A likelihood of an error of nothing is not nothing: masked once more.
        cells = ops.where(observed, cells, 0.0)
        return ops.mean(cells, axis=1) if members else cells

    def _mean(self, output: Any) -> Any:
        """Return the members' mean, and deviations that hold their differences too."""
        count = len(self.names)
        if output.shape[-1] == count:
            return ops.mean(output, axis=1)
        spread = to_spread(output[..., count:])
        own = [i for i, loss in enumerate(self.losses) if loss in SPREAD_LOSSES]
        means = ops.take(output, ops.convert_to_tensor(own, "int32"), axis=-1)
        variance = ops.mean(ops.square(spread), axis=1) + ops.var(means, axis=1)
        whole = ops.sqrt(variance) - LEAST_SPREAD
        raw = whole + ops.log(-ops.expm1(-ops.maximum(whole, 1e-6)))
        return ops.concatenate([ops.mean(output[..., :count], axis=1), raw], axis=-1)

    def _cells(self, error: Any, raw: Any) -> Any:
        """Return the loss of each cell, target by target where kinds differ."""
        kinds = set(self.losses)
        if len(kinds) == 1 and (kind := self.losses[0]) in POINT_LOSSES:
            return POINT_LOSSES[kind](error)
        columns, deviations = [], 0
        for i, (kind, level) in enumerate(zip(self.losses, self.levels, strict=True)):
            spread = None
            if kind in SPREAD_LOSSES:
                spread = to_spread(raw[..., deviations])
                deviations += 1
            columns.append(_cell(kind, error[..., i], level, spread))
        return ops.stack(columns, axis=-1)


def _cell(kind: str, error: Any, level: float, spread: Any) -> Any:
    if kind == "quantile":
        return pinball(error, level)
    if kind == "gaussian_nll":
        return gaussian_nll(error, spread)
    if kind == "crps":
        return gaussian_crps(error, spread)
    return POINT_LOSSES[kind](error)
