"""Kernel regression, the mean of a Gaussian process, chosen by leave-one-out errors.

As in Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), equations 2.25 and 5.12.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LENGTHS = (0.35, 0.7, 1.4, 2.8, 5.6)
"""Tried lengths of the kernel, in median distances between rows."""
NOISES = np.logspace(-5, 3, 25)
"""Tried variances of the noise, in those of the kernel: the least is about what rounding inputs to
single precision does."""
FARTHEST = 4.0
"""How many deviations from the mean an input counts at most."""


@dataclass(frozen=True)
class Kernel:
    """Targets as `base` and a sum over fitted rows, each by how near it is: see `nearness`."""

    center: Values
    factor: Values
    """Per input (width,): scaled it is (input - center) * factor."""
    rows: Values
    """The fitted rows' scaled inputs (fitted, width)."""
    length: float
    """The kernel's length, in median distances between the fitted rows."""
    unit: float
    """That distance, of scaled inputs."""
    shares: Values
    """(fitted, targets)"""
    base: Values
    """(targets,)"""
    error: float
    """The leave-one-out error: the root of the mean square over the targets' own, and its mean over
    targets."""

    def predict(self, inputs: Values) -> Values:
        """Return targets (n, targets) of inputs (n, width)."""
        own = scaled(inputs, self.center, self.factor)
        distance = _distances(own, self.rows) / (self.length * self.unit)
        return self.base + nearness(distance) @ self.shares


def scaled(inputs: Values, center: Values, factor: Values) -> Values:
    """Return inputs (n, width) in deviations from their mean."""
    return np.asarray(np.clip((inputs - center) * factor, -FARTHEST, FARTHEST))


def nearness(distance: Values) -> Values:
    """Return Matérn's kernel of order 5/2 of distances in lengths (Rasmussen & Williams, 4.17)."""
    far = np.sqrt(5.0) * distance
    return np.asarray((1.0 + far * (1.0 + far / 3.0)) * np.exp(-far))


def fit_kernel(
    inputs: Values,
    targets: Values,
    weight: Values,
    known: NDArray[np.bool_],
    lengths: tuple[float, ...],
) -> Kernel:
    """Return kernel regression on rows (n, width): of `lengths` that with the least leave-one-out
    error over targets (n, targets), and each target's own noise by the same.

    Targets have no missing values; only those that are `known` (n, targets) count as errors. Rows
    without weight are left out.
    """
    counted = weight > 0
    inputs, targets, weight = inputs[counted], targets[counted], weight[counted]
    known = known[counted]
    share = weight / weight.sum()
    center, base = share @ inputs, share @ targets
    deviation = np.sqrt(share @ (inputs - center) ** 2)
    factor = np.where(deviation > 1e-9, 1 / np.maximum(deviation, 1e-9), 0.0)
    rows = scaled(inputs, center, factor)
    distance = _distances(rows, rows)
    lying = distance[distance > 1e-6]
    unit = float(np.median(lying)) if lying.size else 1.0
    root = np.sqrt(share * len(share))[:, None]
    goal = (targets - base) * root
    found = [_fit(nearness(distance / (unit * length)), goal, root, known) for length in lengths]
    best = int(np.argmin([error for error, _ in found]))
    error, shares = found[best]
    return Kernel(center, factor, rows, lengths[best], unit, shares, base, error)


def _fit(
    near: Values, goal: Values, root: Values, known: NDArray[np.bool_]
) -> tuple[float, Values]:
    """Return the leave-one-out error over targets, and the shares of rows."""
    size, turn = np.linalg.eigh(near * root * root.T)
    size, turned = np.maximum(size, 0.0), turn.T @ goal
    inverse = 1 / (size + NOISES[:, None])
    own = (turn**2) @ inverse.T
    spread = np.maximum((goal**2 * known).sum(axis=0), 1e-12)
    solved = [turn @ (kept[:, None] * turned) for kept in inverse]
    gaps = [each / noise[:, None] for each, noise in zip(solved, own.T, strict=True)]
    errors = np.stack([(gap**2 * known).sum(axis=0) / spread for gap in gaps])
    best = errors.argmin(axis=0)
    shares = np.stack([solved[b][:, i] for i, b in enumerate(best)], axis=1)
    return float(np.sqrt(errors.min(axis=0)).mean()), shares * root


def _distances(some: Values, others: Values) -> Values:
    """Return the distance (n, m) between rows (n, width) and rows (m, width)."""
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * some @ others.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
