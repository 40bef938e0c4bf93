"""How the objective's parts are weighed against each other.

Beside the `loss_weight` that a contract fixes: by inverse variance, or balanced by GradNorm.
(Learned noise levels are part of the Trainee.)
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from tasks.learning.layout import Layout

if TYPE_CHECKING:
    from tasks.learning.shards import Arrays
    from tasks.learning.trainee import Trainee

Values = NDArray[np.float64]
Gradients = Callable[[Callable[[], Any], Any], Values]
"""From a function that returns (parts,) and a variable: gradients (parts, *variable's shape)."""

SAMPLE_ROWS = 1024
PACE = 1.5
"""How strongly parts that lag behind are favoured: alpha in the paper."""
STEP = 0.25
"""How far, in logarithms, weights move in an epoch."""


def part_weights(kind: str, layout: Layout, parts: int) -> Values:
    """Return the weight of each part, mean 1: the contract's, by inverse variance where asked."""
    if parts != layout.targets:
        return np.ones(parts)
    weights = np.array([o.weight for o in layout.outputs], np.float64)
    if kind == "inverse_variance":
        weights = weights / np.maximum(_variances(layout), 1e-6)
    normed: Values = weights / weights.mean()
    return normed


def _variances(layout: Layout) -> Values:
    """Return the variance of each scaled target over the train rows; 1 where none is seen."""
    out = np.ones(layout.targets)
    weight = layout.train.weight.astype(np.float64)
    for i, values in enumerate(layout.train.targets.T.astype(np.float64)):
        seen = ~np.isnan(values) & (weight > 0)
        if seen.any():
            mean = np.average(values[seen], weights=weight[seen])
            out[i] = np.average((values[seen] - mean) ** 2, weights=weight[seen])
    return out


class GradNorm(keras.callbacks.Callback):
    """Moves the parts' weights after each epoch so that all parts train at one pace.

    Chen et al. 2018 (arXiv 1711.02257): each part's gradient on the last shared kernel is driven
    to the mean norm times (its loss ratio over the mean loss ratio) ** PACE. Here the norms are
    taken once an epoch on a sample of train rows, and weights move by a factor, not by a step
    of their own optimizer: an epoch then stays one compiled call.
    """

    def __init__(self, train: "Arrays", kernel: Any, gradients: Gradients, seed: int) -> None:
        super().__init__()
        draw = np.random.default_rng(seed)
        rows = draw.permutation(len(train.inputs))[:SAMPLE_ROWS]
        self.inputs, self.targets = train.inputs[rows], train.targets[rows]
        self.weight = train.weight[rows][:, None] / max(train.weight[rows].mean(), 1e-12)
        self.kernel, self.gradients = kernel, gradients
        self.first: Values | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the weights."""
        found = np.asarray(keras.ops.convert_to_numpy(self._losses()), np.float64)
        losses = np.maximum(found, 1e-12)
        if self.first is None:
            self.first = losses
        slopes = self.gradients(self._losses, self.kernel)
        weights = np.asarray(keras.ops.convert_to_numpy(self.model.part_weights), np.float64)
        norms = weights * np.linalg.norm(slopes.reshape(len(slopes), -1), axis=1)
        pace = losses / self.first
        wanted = norms.mean() * (pace / max(pace.mean(), 1e-12)) ** PACE
        factor = np.clip(wanted / np.maximum(norms, 1e-12), 0.1, 10.0) ** STEP
        moved = np.clip(weights * factor, 1e-3, 1e3)
        self.model.part_weights.assign(moved / moved.mean())

    def _losses(self) -> Any:
        """Return the mean loss of each part on the sample."""
        model: Trainee = self.model
        output = model.network(self.inputs, training=False)
        losses = model.losses_of(self.inputs, self.targets, output, True)
        return keras.ops.mean(losses * self.weight, axis=0)


def shared_kernel(network: keras.Model) -> Any:
    """Return the kernel of the last hidden layer that all targets share.

    Raises ValueError where no layer is named as one.
    """
    hidden = [layer for layer in network.layers if layer.name.startswith("hidden_")]
    if not hidden:
        raise ValueError(
            "target_weights: gradnorm needs the last layer that all targets share to be named "
            f"hidden_<number>; the layers are {', '.join(n.name for n in network.layers)}"
        )
    return hidden[-1].kernel
