"""The model that `fit` trains: a network with its objective, masked, weighed and watched."""

from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from tasks.learning.part_losses import PartLosses

FINE = -1
"""Stands where no loss has failed to be a number."""


class Objective(Protocol):
    """What is minimized: losses by row and part.

    A part is what has a loss of its own: a target, or 1 for a likelihood of all targets
    together. A missing cell of `truth` is NaN; it adds nothing, and its
    gradient is exactly zero.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """What each part is the loss of."""
        ...

    def __call__(self, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, parts) for truth (rows, targets) and the network's raw output.

        `training` is false on validation rows, where a score of the prediction itself may be
        better than the loss that steps follow.
        """
        ...


class Trainee(keras.Model):
    """A network under training. The network alone is kept afterwards."""

    def __init__(self, network: keras.Model, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        parts = len(objective.names)
        self.part_weights = self._own(np.ones(parts), "float32", "part_weights")
        self.fixed_weights = self._own(np.ones(parts), "float32", "fixed_weights")
        self.steps = self._own(0, "int32", "steps")
        self.first_fault = self._own([FINE, FINE], "int32", "first_fault")
        self.part_losses = PartLosses(objective.names)
        self.log_variance: Any = None
        self.share = 1.0
        """The part of a batch's loss that this device answers for, where several add theirs up."""
        self.untrained: float | None = None
        """The validation loss before training, where it is known and a number."""

    def weigh(self, fixed: Any, start: Any, learned: bool = False) -> None:
        """Weigh the objective's parts against each other: steps by `start`, validation by
        `fixed`, each (parts,), so that epochs compare whatever becomes of the weights of steps.

        With `learned`, each part has a noise level besides, which is learned (Kendall, Gal &
        Cipolla 2018, arXiv 1705.07115).
        """
        self.fixed_weights.assign(np.asarray(fixed, np.float32))
        self.part_weights.assign(np.asarray(start, np.float32))
        if learned:
            shape = (len(self.objective.names),)
            self.log_variance = self.add_weight(
                shape=shape, initializer="zeros", dtype="float32", name="log_variance"
            )

    def _own(self, value: Any, dtype: str, name: str) -> Any:
        """Return a variable that steps carry along and no optimizer touches."""
        start = np.asarray(value, dtype)
        fill = keras.initializers.Constant(0)
        made = self.add_weight(
            shape=start.shape, initializer=fill, dtype=dtype, trainable=False, name=name,
            aggregation="only_first_replica",
        )  # fmt: skip
        made.assign(start)
        return made

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the network's raw output."""
        return self.network(inputs, training=training)

    def losses_of(self, inputs: Any, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, parts). Override where they need more than the output."""
        return self.objective(truth, output, training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the mean over rows of the weighed parts, and in training all penalties."""
        losses = ops.cast(self.losses_of(x, y, y_pred, training), "float32")
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, "float32")[:, None]
        parts = ops.mean(losses, axis=0)
        if not training:
            self.part_losses.update_state(parts, ops.shape(losses)[0])
            return _mean(parts, self.fixed_weights) * self.share
        self._watch(parts)
        if self.log_variance is not None:
            parts = 0.5 * (ops.exp(-self.log_variance) * parts + self.log_variance)
        return (_mean(parts, self.part_weights) + sum(self.losses)) * self.share

    def _watch(self, parts: Any) -> None:
        """Note the step, from 1, and the part of the first loss that is no number."""
        self.steps.assign_add(1)
        broken = ops.logical_not(ops.isfinite(parts))
        part = ops.cast(ops.argmax(ops.cast(broken, "int32")), "int32")
        here = ops.stack([ops.cast(self.steps, "int32"), part])
        first = ops.logical_and(ops.any(broken), ops.equal(self.first_fault[0], FINE))
        self.first_fault.assign(ops.where(first, here, ops.convert_to_tensor(self.first_fault)))

    def tell_loss(self, loss: Any, rows: int) -> None:
        """Take the mean loss of so many rows into what is measured."""
        self._loss_tracker.update_state(loss / self.share, sample_weight=rows)

    def measured(self) -> dict[str, float]:
        """Return the mean loss of what was trained or tested since metrics were reset, and of
        tests the parts'."""
        # In NumPy: an epoch of few rows takes no longer than a dozen calls of a backend.
        total, count = (float(v.numpy()) for v in self._loss_tracker.variables)
        return {"loss": total / count if count else 0.0} | self.part_losses.numbers()

    def fault(self) -> tuple[int, str] | None:
        """Return the step, from 1, and the part of the first loss that was no number."""
        step, part = (int(v) for v in ops.convert_to_numpy(self.first_fault))
        return None if step == FINE else (step, self.objective.names[part])


def _mean(parts: Any, weights: Any) -> Any:
    return ops.sum(parts * weights) / ops.sum(weights)
