"""The training loss: per target, weighted, and masked where a target is missing.

Missing targets are NaN in `y_true`. A masked cell adds nothing to the loss and its gradient is
exactly zero.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

HUBER_DELTA = 1.0


def _mse(error: Any) -> Any:
    return ops.square(error)


def _mae(error: Any) -> Any:
    return ops.abs(error)


def _huber(error: Any) -> Any:
    size = ops.abs(error)
    near = 0.5 * ops.square(error)
    return ops.where(size <= HUBER_DELTA, near, HUBER_DELTA * (size - 0.5 * HUBER_DELTA))


CELL_LOSSES = {"mse": _mse, "mae": _mae, "huber": _huber}


@keras.saving.register_keras_serializable("polycast")
class MaskedLoss(keras.losses.Loss):
    """The weighted mean over targets of each target's own loss, per row.

    `losses` and `weights` have one entry a target; inputs are (rows, targets), scaled. A row
    divides by the whole sum of weights, so a row with fewer targets counts for less.
    """

    def __init__(
        self, losses: Sequence[str], weights: Sequence[float], name: str = "masked_loss"
    ) -> None:
        super().__init__(name=name)
        self.losses = list(losses)
        self.weights = list(weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row, (rows,)."""
        observed = ops.logical_not(ops.isnan(y_true))
        error = ops.where(observed, y_pred - ops.where(observed, y_true, 0.0), 0.0)
        total: Any = 0.0
        for kind in sorted(set(self.losses)):
            share = [
                w / sum(self.weights) if own == kind else 0.0
                for own, w in zip(self.losses, self.weights, strict=True)
            ]
            cells = CELL_LOSSES[kind](error) * ops.convert_to_tensor(share, y_pred.dtype)
            total = total + ops.sum(cells, axis=-1)
        return total

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the loss."""
        return {"losses": self.losses, "weights": self.weights, "name": self.name}
