"""The network of a run: what its recipe asks for beside the defaults, and its weights by layer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.recipes.base import BaseRecipe
from tasks.report.numbers import fixed
from tasks.wording import part_shares

MOST_LAYERS = 60
"""The most layers that are written out."""


@dataclass(frozen=True)
class Layer:
    """The weights of one layer, in all members together."""

    name: str
    weights: int
    small: int
    penalized: bool

    @property
    def share(self) -> str:
        """How many of the weights are small, in percent."""
        return f"{fixed(100 * self.small / max(1, self.weights), 1)} %"


@dataclass(frozen=True)
class Network:
    """What the section shows."""

    options: dict[str, Any]
    """The recipe's options that differ from their defaults."""
    layers: tuple[Layer, ...]
    """At most MOST_LAYERS."""
    total: Layer
    left_out: int
    """How many layers are left out."""
    penalized: Layer
    """What the L1 penalty was laid on."""
    l1: float
    shares: dict[str, str]
    """The share of the answer that each part of a blend has; none where it is none."""


def network(recipe: BaseRecipe, file: Path | None, blend: Path | None = None) -> Network:
    """Return the view of a network from its recipe, its `layers.json` and its `shares.json`, where
    there are any."""
    shares = {} if blend is None else json.loads(blend.read_text("utf-8"))
    members = [] if file is None else json.loads(file.read_text("utf-8"))
    layers = _layers([kernel for member in members for kernel in member])
    return Network(
        options=differing(recipe),
        layers=layers[:MOST_LAYERS],
        total=_sum("all", layers),
        left_out=len(layers[MOST_LAYERS:]),
        penalized=_sum("penalized", [layer for layer in layers if layer.penalized]),
        l1=recipe.l1,
        shares=part_shares(shares),
    )


def differing(recipe: BaseRecipe) -> dict[str, Any]:
    """Return the options of a recipe that differ from their defaults, as plain values."""
    fields = type(recipe).model_fields
    plain = recipe.model_dump(mode="json")
    return {
        name: plain[name]
        for name, field in fields.items()
        if name != "architecture"
        and getattr(recipe, name) != field.get_default(call_default_factory=True)
    }


def _layers(kernels: Sequence[dict[str, Any]]) -> tuple[Layer, ...]:
    names = dict.fromkeys(kernel["layer"] for kernel in kernels)
    return tuple(_layer(n, [k for k in kernels if k["layer"] == n]) for n in names)


def _layer(name: str, kernels: Sequence[dict[str, Any]]) -> Layer:
    weights, small = (sum(k[count] for k in kernels) for count in ("weights", "small"))
    return Layer(name, weights, small, any(k["l1"] > 0 for k in kernels))


def _sum(name: str, layers: Sequence[Layer]) -> Layer:
    weights, small = sum(x.weights for x in layers), sum(x.small for x in layers)
    return Layer(name, weights, small, any(x.penalized for x in layers))
