"""Fit a network: plain functions for folds, benchmarks and notebooks.

`fit` takes raw rows; `fit_network` takes arrays that are scaled already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract
from tasks.learning.bundle import Bundle, Member
from tasks.learning.errors import Diverged
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.losses import MaskedLoss
from tasks.learning.networks import build_network
from tasks.learning.shards import Arrays, to_arrays

OnEpoch = Callable[[int, float, float], None]
"""Called after each epoch with its number from 1, the train loss and the validation loss."""


@dataclass(frozen=True)
class Curve:
    """Losses per epoch on train and validation rows."""

    loss: list[float]
    val_loss: list[float]

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights were kept."""
        return int(np.argmin(self.val_loss)) + 1


def fit(
    contract: Contract, train: pa.Table, validation: pa.Table, on_epoch: OnEpoch | None = None
) -> tuple[Bundle, Curve]:
    """Return a bundle of one member trained on raw rows, and its learning curve."""
    preprocessing = fit_preprocessing(contract, train)
    arrays = [to_arrays(contract, preprocessing, rows) for rows in (train, validation)]
    network, curve = fit_network(contract, arrays[0], arrays[1], on_epoch)
    return Bundle([Member(network, preprocessing)]), curve


def fit_network(
    contract: Contract, train: Arrays, validation: Arrays, on_epoch: OnEpoch | None = None
) -> tuple[keras.Model, Curve]:
    """Return the trained network with its best epoch's weights, and its learning curve.

    Raises Diverged when a loss is no number.
    """
    recipe = contract.recipe
    keras.utils.set_random_seed(recipe.seed)
    network = build_network(recipe, train.inputs.shape[1], train.targets.shape[1])
    targets = contract.target_columns.values()
    loss = MaskedLoss([t.loss or recipe.loss for t in targets], [t.loss_weight for t in targets])
    steps = -(-len(train.inputs) // recipe.batch_size)
    network.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss=loss,
        jit_compile=True,
        steps_per_execution=min(steps, 32),
    )
    stop = keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)
    history = network.fit(
        train.inputs,
        train.targets,
        sample_weight=train.weight,
        validation_data=(validation.inputs, validation.targets, validation.weight),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        callbacks=[stop, _Watch(on_epoch)],
        verbose=0,
    ).history
    return network, Curve(history["loss"], history["val_loss"])


class _Watch(keras.callbacks.Callback):
    """Tells of each epoch, and stops a run whose loss is no number."""

    def __init__(self, on_epoch: OnEpoch | None) -> None:
        super().__init__()
        self.on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        losses = logs or {}
        loss, validation = float(losses["loss"]), float(losses["val_loss"])
        if not np.isfinite(loss + validation):
            raise Diverged(
                f"the loss is no number in epoch {epoch + 1} (train {loss}, validation "
                f"{validation}): try a smaller recipe.learning_rate, or look for extreme values"
            )
        if self.on_epoch:
            self.on_epoch(epoch + 1, loss, validation)
