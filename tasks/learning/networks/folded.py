"""Training of members side by side that each hold out a fold, in groups that stop by themselves."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tasks.learning.folds import FOLDS
from tasks.learning.trainee import Objective, Trainee


class FoldedTrainee(Trainee):
    """Members that do not learn from rows of their own fold, where rows come with one.

    The members are `groups` of as many each. The validation loss of a group is that of the mean
    of those members that held the row out, or of all where rows come with no fold.
    """

    def __init__(self, network: keras.Model, objective: Objective, groups: int) -> None:
        super().__init__(network, objective)
        self.groups = groups
        self.group_losses = self._own(np.zeros(groups), "float32", "group_losses")

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the network's raw output."""
        return self.network(self._inputs(inputs)[0], training=training)

    def losses_of(self, inputs: Any, truth: Any, output: Any, training: bool) -> Any:
        """Return losses (rows, parts)."""
        fold = self._inputs(inputs)[1]
        output = ops.cast(output, "float32")
        if training:
            if fold is None:
                return self.objective(truth, output, True)
            return self._learned(truth, output, 1.0 - self._held(fold, output.shape[1]))
        own = output.shape[1] // self.groups
        held = None if fold is None else self._held(fold, output.shape[1])
        losses = []
        for start in range(0, self.groups * own, own):
            said = output[:, start : start + own]
            share = ops.ones_like(said[..., 0]) if held is None else held[:, start : start + own]
            count = ops.sum(share, axis=1, keepdims=True)
            mean = ops.sum(said * (share / ops.maximum(count, 1.0))[..., None], axis=1)
            # A fold that no member holds out is not validated on.
            losses.append(self.objective(truth, mean, False) * ops.cast(count > 0, "float32"))
        sums = ops.stack([ops.sum(group) for group in losses])
        self.group_losses.assign_add(sums)
        return sum(losses) / self.groups

    def _inputs(self, inputs: Any) -> tuple[Any, Any]:
        """Return the network's inputs, and each row's fold or None."""
        if inputs.shape[-1] == self.network.input_shape[-1]:
            return inputs, None
        return inputs[:, :-1], inputs[:, -1]

    def _held(self, fold: Any, members: int) -> Any:
        """Return 1 where a member holds a row out, else 0 (rows, members)."""
        own = np.arange(members) % (members // self.groups) % FOLDS
        return ops.cast(ops.equal(fold[:, None], own.astype(np.float32)), "float32")

    def _learned(self, truth: Any, output: Any, seen: Any) -> Any:
        """Return the mean losses (rows, parts) of the members that learn from each row."""
        members = output.shape[1]
        single = ops.reshape(output, (-1, output.shape[2]))
        losses = self.objective(ops.repeat(truth, members, axis=0), single, True)
        losses = ops.reshape(losses, (-1, members, losses.shape[-1])) * seen[..., None]
        return ops.sum(losses, axis=1) / ops.maximum(ops.sum(seen, axis=1), 1.0)[:, None]


class BestOfGroups(keras.callbacks.EarlyStopping):
    """Keeps the weights of each group's best epoch; stops when none has become better for long.

    All that is trained has the members as its first axis.
    """

    model: FoldedTrainee

    def __init__(self, patience: int, start: int) -> None:
        super().__init__(patience=patience, restore_best_weights=True, start_from_epoch=start)
        self.least: Any = None
        self.wait = 0
        self.best_weights: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget what was."""
        super().on_train_begin(logs)
        self.least = np.full(self.model.groups, np.inf)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Sum losses anew."""
        self.model.group_losses.assign(np.zeros(self.model.groups))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep what became better."""
        if epoch < self.start_from_epoch:
            return
        found = np.asarray(ops.convert_to_numpy(self.model.group_losses), np.float64)
        better = found < self.least
        self.wait = 0 if better.any() else self.wait + 1
        if better.any():
            self.least = np.where(better, found, self.least)
            self.best, self.best_epoch = float(self.least.mean()), epoch
            self._keep(better)
        if self.wait >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def _keep(self, better: Any) -> None:
        """Take the weights of the groups that are better."""
        weights = [np.array(w) for w in self.model.get_weights()]
        if self.best_weights is None or better.all():
            self.best_weights = weights
            return
        members = self.model.network.output_shape[1]
        for kept, new, variable in zip(self.best_weights, weights, self.model.weights, strict=True):
            if variable.trainable and new.ndim and len(new) == members:
                own = np.repeat(better, members // self.model.groups)
                kept[own] = new[own]
