"""Weights averaged over training, in place for validation and for what is kept."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from data_contracts.recipes.base import BaseRecipe


class EpochMean(keras.callbacks.Callback):
    """The mean of the weights at the ends of epochs, from epoch `start` (counted from 0) on.

    Validation and the end of an epoch see the mean; the next epoch goes on from its own weights.
    Izmailov et al. 2018 (arXiv 1803.05407).
    """

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start
        self.epoch = 0
        self.count = 0
        self.mean: list[Any] = []
        self.own: list[Any] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the epoch's own weights back."""
        self.epoch = epoch
        if self.own is not None:
            _put(self.model, self.own)
            self.own = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take the epoch's weights into the mean, and put the mean in place."""
        if self.epoch < self.start:
            return
        self.own = _taken(self.model)
        self.count += 1
        if self.count == 1:
            self.mean = [np.array(v, np.float64) for v in self.own]
        for mean, value in zip(self.mean, self.own, strict=True):
            mean += (value - mean) / self.count
        _put(self.model, self.mean)


def _averaged(model: Any) -> list[Any]:
    """Return the network's weights, and what else is trained beside it, each once."""
    own = {id(v): v for v in (*model.network.weights, *model.trainable_weights)}
    return list(own.values())


def _taken(model: Any) -> list[Any]:
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in _averaged(model)]


def _put(model: Any, values: list[Any]) -> None:
    for variable, value in zip(_averaged(model), values, strict=True):
        variable.assign(np.asarray(value).astype(variable.dtype))


def averaging(recipe: "BaseRecipe") -> list[keras.callbacks.Callback]:
    """Return the callbacks that average as the recipe says; they come before early stopping."""
    if recipe.averaging == "ema":
        return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]
    return [EpochMean(first_epoch(recipe))] if recipe.averaging == "swa" else []


def first_epoch(recipe: "BaseRecipe") -> int:
    """Return the first epoch, from 0, whose weights may be kept: with `swa` that of the mean."""
    return recipe.epochs // 2 if recipe.averaging == "swa" else 0
