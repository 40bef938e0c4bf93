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

    def predict(self, inputs: Values) -> Values:
        """Return targets (n, targets)."""
        return inputs @ self.kernel + self.bias


def fit_ridge(inputs: Values, targets: Values, weight: Values) -> Linear:
    """Return ridge regression on rows (n, width), with NaN for missing targets (n, targets)."""
    known = np.isfinite(targets)
    if known.all():
        return _fit(inputs, targets, weight)
    parts = []
    for i, own in enumerate(known.T):
        if own.any():
            parts.append(_fit(inputs[own], targets[own, i : i + 1], weight[own]))
        else:
            parts.append(Linear(np.zeros((inputs.shape[1], 1)), np.zeros(1)))
    kernel = np.concatenate([p.kernel for p in parts], axis=1)
    return Linear(kernel, np.concatenate([p.bias for p in parts]))


def mean_of(parts: list[Linear]) -> Linear:
    """Return what predicts the mean of what the parts predict."""
    kernel = np.mean([p.kernel for p in parts], axis=0)
    return Linear(kernel, np.mean([p.bias for p in parts], axis=0))


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
    errors = np.stack([_left_out(left, turned, goal, k) for k in kept])
    best = kept[errors.argmin(axis=0)].T
    inverse = np.where(size > 1e-12 * size.max(initial=0), 1 / np.maximum(size, 1e-300), 0.0)
    kernel = (right.T @ (best * inverse[:, None] * turned)) / deviation[:, None]
    return Linear(kernel, middle - center @ kernel)


def _left_out(left: Values, turned: Values, goal: Values, kept: Values) -> Values:
    """Return the mean squared error by target of each row as the fit without it has it."""
    own = (left**2) @ kept + 1 / len(goal)
    error = (goal - left @ (kept[:, None] * turned)) / np.maximum(1 - own, 1e-3)[:, None]
    return (error**2).mean(axis=0)
