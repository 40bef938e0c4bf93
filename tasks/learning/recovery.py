"""A run that diverges: how that is seen, and how much slower it goes on.

A run has diverged when a loss is no number, or when an epoch's train loss is beyond the validation
loss of the untrained network by more than EXPLODED times that loss, or times 1 where it is smaller:
targets are scaled, so that a network that has learned nothing has a loss of about 1. It then goes
back to the end of its best epoch, or to its start, with a tenth of the learning rate, at most TRIES
times.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tasks.learning.errors import Diverged
from tasks.learning.part_losses import part_losses
from tasks.learning.trainee import Trainee

OnEpoch = Callable[[int, float, float, Mapping[str, float]], None]
"""Called after each epoch with its number from 1, the train loss, the validation loss, and what
each part adds to that, by its name."""
EXPLODED = 1e3
TRIES = 2
SLOWER = 0.1
"""What the learning rate is multiplied by each time."""


def exploded(loss: float, val_loss: float, untrained: float | None) -> bool:
    """Say whether an epoch's losses are no numbers, or beyond all measure."""
    first = loss if untrained is None else untrained
    return not np.isfinite(loss + val_loss) or loss - first > EXPLODED * max(1.0, abs(first))


class Watch(keras.callbacks.Callback):
    """Tells of each epoch. Raises Diverged, with the network as it last was good."""

    def __init__(self, on_epoch: OnEpoch | None, stop: Any) -> None:
        super().__init__()
        self.on_epoch = on_epoch
        self.stop = stop

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the epoch's losses."""
        losses = logs or {}
        loss, validation = float(losses["loss"]), float(losses["val_loss"])
        trainee: Trainee = self.model
        fault = trainee.fault()
        first = loss if trainee.untrained is None else trainee.untrained
        no_number = fault is not None or not np.isfinite(loss + validation)
        if no_number or exploded(loss, validation, first):
            network = self._last_good(trainee)
            risen = None if no_number else (loss, first)
            raise Diverged(epoch + 1, fault, network, self.stop.best_epoch + 1, risen)
        if self.on_epoch:
            self.on_epoch(epoch + 1, loss, validation, part_losses(losses))

    def _last_good(self, trainee: Trainee) -> keras.Model | None:
        """Return the network with its best epoch's weights, None where no epoch was good."""
        best = self.stop.best_weights
        # Keras keeps the first epoch's weights whatever its loss.
        if best is None or not np.isfinite(self.stop.best):
            return None
        trainee.set_weights(best)
        return trainee.network


@keras.saving.register_keras_serializable("polycast")
class Slower(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule's step size, times a factor."""

    def __init__(self, schedule: Any, factor: float) -> None:
        super().__init__()
        self.schedule, self.factor = schedule, factor

    def __call__(self, step: Any) -> Any:
        """Return the step size of a step, counted from 0."""
        return self.factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the schedule."""
        return {"schedule": self.schedule, "factor": self.factor}


def slow_schedule(optimizer: Any, tries: int) -> None:
    """Make a schedule as slow as a run is that went back so often; a plain rate stays."""
    own = getattr(optimizer, "inner_optimizer", optimizer)
    schedule = own._learning_rate
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        plain = schedule.schedule if isinstance(schedule, Slower) else schedule
        own.learning_rate = Slower(plain, SLOWER**tries) if tries else plain


def slow_rate(optimizer: Any, times: int) -> None:
    """Make a plain rate, which is a variable, slower so many times; a schedule stays."""
    own = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(own._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = float(keras.ops.convert_to_numpy(own.learning_rate))
        own.learning_rate = rate * SLOWER**times
