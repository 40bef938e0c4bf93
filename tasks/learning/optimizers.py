"""A recipe's optimizer, and the schedule of its step size."""

import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from data_contracts.recipes.base import BaseRecipe

NOT_DECAYED = ["bias", "gamma", "beta", "scale", "frequency", "phase", "log_"]
"""Parts of the names of weights that no decay touches: all but kernels."""
NOT_HIDDEN = r"^(?!.*(hidden|gate)_\d+/kernel$)"
"""The paths of weights that are no kernel of a hidden layer."""
WARM_UP, ONE_CYCLE_RISE = 0.05, 0.3
ONE_CYCLE_START = 0.04
"""The step size that one_cycle starts from, as a share of its highest."""


@keras.saving.register_keras_serializable("polycast")
class Scheduled(keras.optimizers.schedules.LearningRateSchedule):
    """A step size that depends on the share of all steps that are done."""

    def __init__(self, kind: str, highest: float, steps: int) -> None:
        super().__init__()
        self.kind, self.highest, self.steps = kind, highest, steps

    def __call__(self, step: Any) -> Any:
        """Return the step size of a step, counted from 0."""
        done = ops.clip(ops.cast(step, "float32") / max(1, self.steps), 0.0, 1.0)
        return self.highest * _SHARES[self.kind](done)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the schedule."""
        return {"kind": self.kind, "highest": self.highest, "steps": self.steps}


def _cosine(done: Any) -> Any:
    return 0.5 * (1.0 + ops.cos(math.pi * done))


def _risen(done: Any, rise: float, start: float) -> Any:
    """Rise in a line from `start` to 1 during the share `rise`, then fall like a cosine."""
    up = start + (1.0 - start) * done / rise
    return ops.where(done < rise, up, _cosine((done - rise) / (1.0 - rise)))


def _cosine_log(done: Any) -> Any:
    """Four cycles, each twice as long as the last (Holzmüller et al. 2024, arXiv 2407.04491)."""
    return 0.5 * (1.0 - ops.cos(2 * math.pi * ops.log2(1.0 + 15.0 * done)))


_SHARES = {
    "cosine": _cosine,
    "warm_up": lambda done: _risen(done, WARM_UP, 0.0),
    "one_cycle": lambda done: _risen(done, ONE_CYCLE_RISE, ONE_CYCLE_START),
    "cosine_log": _cosine_log,
}


def optimizer(recipe: "BaseRecipe", steps: int) -> Any:
    """Return the recipe's optimizer for a budget of `steps` steps."""
    rate: Any = recipe.learning_rate
    if recipe.schedule in _SHARES:
        rate = Scheduled(recipe.schedule, recipe.learning_rate, steps)
    options: dict[str, Any] = {"learning_rate": rate, "global_clipnorm": recipe.clip_norm}
    if recipe.weight_decay:
        options["weight_decay"] = recipe.weight_decay
    if recipe.averaging == "ema":
        options |= {"use_ema": True, "ema_momentum": 0.99}
    made = _OPTIMIZERS[recipe.optimizer](options)
    if recipe.weight_decay:
        made.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return made


def _adamw(options: dict[str, Any]) -> Any:
    return keras.optimizers.AdamW(**{"weight_decay": 0.0} | options)


def _sgd(options: dict[str, Any]) -> Any:
    return keras.optimizers.SGD(momentum=0.9, nesterov=True, **options)


def _muon(options: dict[str, Any]) -> Any:
    # Muon is for matrices of hidden layers: every other weight goes by AdamW.
    decay = options.pop("weight_decay", 0.0)
    return keras.optimizers.Muon(
        weight_decay=decay, adam_weight_decay=decay, exclude_layers=[NOT_HIDDEN], **options
    )


_OPTIMIZERS = {
    "adam": lambda options: keras.optimizers.Adam(**options),
    "adamw": _adamw,
    "rmsprop": lambda options: keras.optimizers.RMSprop(**options),
    "sgd": _sgd,
    "nadam": lambda options: keras.optimizers.Nadam(**options),
    "lion": lambda options: keras.optimizers.Lion(**options),
    "muon": _muon,
}
