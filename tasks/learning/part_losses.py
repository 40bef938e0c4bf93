"""What each part of an objective adds to the validation loss, measured within compiled calls."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

PREFIX = "part:"
"""Before a part's name, where losses stand beside the loss of all."""


@keras.saving.register_keras_serializable("polycast")
class PartLosses(keras.metrics.Metric):
    """The mean loss of each part over rows."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__(name="part_losses")
        self.parts = parts
        self.sums = self.add_variable((len(parts),), keras.initializers.Zeros(), name="sums")
        self.rows = self.add_variable((), keras.initializers.Zeros(), name="rows")

    def update_state(self, means: Any, rows: Any) -> None:
        """Take in the mean losses (parts,) of so many rows."""
        count = ops.cast(rows, "float32")
        self.sums.assign_add(ops.cast(means, "float32") * count)
        self.rows.assign_add(count)

    def result(self) -> dict[str, Any]:
        """Return the mean loss of each part, by its name; 0 where no rows came."""
        means = self.sums / ops.maximum(self.rows, 1.0)
        return {f"{PREFIX}{name}": means[at] for at, name in enumerate(self.parts)}

    def numbers(self) -> dict[str, float]:
        """Return the mean loss of each part, by its name; nothing where no rows came."""
        rows = float(self.rows.numpy())
        if not rows:
            return {}
        means = self.sums.numpy() / rows
        names = (f"{PREFIX}{name}" for name in self.parts)
        return dict(zip(names, means.tolist(), strict=True))


def without_parts(losses: Mapping[str, Any]) -> dict[str, Any]:
    """Return losses without those of parts: steps say nothing of these."""
    return {k: v for k, v in losses.items() if not k.startswith(PREFIX)}


def part_losses(logs: Mapping[str, float]) -> dict[str, float]:
    """Return the validation loss of each part, by its name, from an epoch's losses."""
    begins = f"val_{PREFIX}"
    return {k.removeprefix(begins): v for k, v in logs.items() if k.startswith(begins)}
