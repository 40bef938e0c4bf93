"""Ridge regression in closed form, its penalty by target from leave-one-out errors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
PENALTIES = np.logspace(-3, 6, 28)


@dataclass(frozen=True)
class Linear:
    """Scaled targets as inputs (n, width) times `kernel` (width, targets) plus `bias`."""

    kernel: Values
    bias: Values
    left_out: Values
    """What the fit without it would say of each row that was fitted on (n, targets); NaN where
    the target is missing."""

    def predict(self, inputs: Values) -> Values:
        """Return targets (n, targets)."""
        return inputs @ self.kernel + self.bias


def fit_ridge(inputs: Values, targets: Values, weight: Values) -> Linear:
    """Return ridge regression on rows (n, width), with NaN for missing targets (n, targets)."""
    known = np.isfinite(targets)
    if known.all():
        return _fit(inputs, targets, weight)
    kernel = np.zeros((inputs.shape[1], targets.shape[1]))
    bias, left_out = np.zeros(targets.shape[1]), np.full(targets.shape, np.nan)
    for i, own in enumerate(known.T):
        if own.any():
            found = _fit(inputs[own], targets[own, i : i + 1], weight[own])
            kernel[:, i], bias[i] = found.kernel[:, 0], found.bias[0]
            left_out[own, i] = found.left_out[:, 0]
    return Linear(kernel, bias, left_out)


def _fit(inputs: Values, targets: Values, weight: Values) -> Linear:
    share = weight / weight.sum()
    center, middle = share @ inputs, share @ targets
    deviation = np.sqrt(share @ (inputs - center) ** 2)
    deviation = np.where(deviation > 1e-9, deviation, np.inf)
    root = np.sqrt(share * len(share))[:, None]
    own, goal = (inputs - center) / deviation * root, (targets - middle) * root
    left, size, right = np.linalg.svd(own, full_matrices=False)
    turned = left.T @ goal
    kept = size**2 / (size**2 + PENALTIES[:, None])
    errors = np.stack([(_errors(left, turned, goal, k) ** 2).mean(axis=0) for k in kept])
    best = kept[errors.argmin(axis=0)].T
    missed = np.stack(
        [_errors(left, turned[:, [i]], goal[:, [i]], k)[:, 0] for i, k in enumerate(best.T)], axis=1
    )
    inverse = np.where(size > 1e-12 * size.max(initial=0), 1 / np.maximum(size, 1e-300), 0.0)
    kernel = (right.T @ (best * inverse[:, None] * turned)) / deviation[:, None]
    return Linear(kernel, middle - center @ kernel, targets - missed / np.maximum(root, 1e-9))


def _errors(left: Values, turned: Values, goal: Values, kept: Values) -> Values:
    """Return the error (n, targets) that the fit without a row has of it."""
    own = (left**2) @ kept + 1 / len(goal)
    return (goal - left @ (kept[:, None] * turned)) / np.maximum(1 - own, 1e-3)[:, None]
