"""The last step of a point network: each target's activation, deviations after the targets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from tasks.learning.layout import Layout, Output
from tasks.learning.losses import SPREAD_LOSSES, TargetLosses

if TYPE_CHECKING:
    from data_contracts.recipes.base import PointOptions


def losses_by_target(recipe: "PointOptions", layout: Layout) -> list[str]:
    """Return each target's loss: its own, or else the recipe's."""
    return [o.loss or recipe.loss for o in layout.outputs]


def point_objective(losses: Sequence[str], layout: Layout) -> TargetLosses:
    """Return the objective of a network that predicts each target by itself."""
    outputs = layout.outputs
    return TargetLosses([o.name for o in outputs], losses, [o.loss_level for o in outputs])


def deviations(losses: Sequence[str]) -> list[int]:
    """Return the positions of the targets that have a deviation."""
    return [i for i, loss in enumerate(losses) if loss in SPREAD_LOSSES]


@keras.saving.register_keras_serializable("polycast")
class Bounded(keras.layers.Layer):
    """Scaled targets (…, outputs) through their activations; what comes after them stays.

    `activations` names each target's; `lower` and `upper` (scaled) are what they lie between.
    `shares` holds, for targets that are shares of one whole: positions, factors, offsets.
    """

    def __init__(
        self,
        activations: list[str],
        lower: list[float],
        upper: list[float],
        shares: list[list[list[float]]],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.activations, self.lower, self.upper = activations, lower, upper
        self.shares = shares

    def call(self, raw: Any) -> Any:
        """Return values of the shape that came, in float32: bounds hold to its rounding."""
        exact = ops.cast(raw, "float32")
        columns = [exact[..., i] for i in range(exact.shape[-1])]
        for i, activation in enumerate(self.activations):
            columns[i] = _bounded(activation, columns[i], self.lower[i], self.upper[i])
        for positions, factors, offsets in self.shares:
            own = [int(p) for p in positions]
            share = ops.softmax(ops.stack([columns[p] for p in own], axis=-1), axis=-1)
            for place, p in enumerate(own):
                columns[p] = share[..., place] * factors[place] + offsets[place]
        return ops.stack(columns, axis=-1)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape that came."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        own = {"activations": self.activations, "lower": self.lower, "upper": self.upper}
        return {**super().get_config(), **own, "shares": self.shares}


def _bounded(activation: str, raw: Any, lower: float, upper: float) -> Any:
    match activation:
        case "sigmoid":
            return lower + (upper - lower) * ops.sigmoid(raw)
        case "softplus":
            return lower + ops.softplus(raw)
        case "relu":
            return lower + ops.relu(raw)
        case "exp":
            return lower + ops.exp(raw)
    return raw


def bounded(raw: Any, layout: Layout) -> Any:
    """Return the raw output through the targets' activations; as it is where all are linear."""
    outputs = layout.outputs
    if all(o.activation == "linear" for o in outputs):
        return raw
    shares = [
        [[float(t) for t in s.targets], list(s.factor), list(s.offset)] for s in layout.shares
    ]
    activations = [o.activation for o in outputs]
    lower, upper = [_number(o, o.lower) for o in outputs], [_number(o, o.upper) for o in outputs]
    return Bounded(activations, lower, upper, shares, dtype="float32", name="bounded")(raw)


def _number(output: Output, limit: float) -> float:
    """Return a limit that an activation uses; 0 for others, so that a config holds numbers."""
    return (
        float(limit)
        if output.activation not in ("linear", "softmax") and abs(limit) < 1e300
        else 0.0
    )
