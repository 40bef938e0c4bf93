"""The trunk that all targets share: embeddings, then hidden layers of one kind."""

from typing import TYPE_CHECKING, Any

import keras

from tasks.learning.layout import Layout
from tasks.learning.networks.embeddings import embed

if TYPE_CHECKING:
    from data_contracts.recipes.base import BaseRecipe, TrunkRecipe


def trunk(recipe: "TrunkRecipe", layout: Layout) -> tuple[Any, Any]:
    """Return the network's entry (rows, layout.width) and the last hidden layer's output.

    The last hidden layer that has a kernel is named `hidden_<i>`, i counted from 0.
    """
    entry = keras.Input((layout.width,), name="inputs")
    hidden = embed(noisy(recipe, entry), layout, recipe.numeric_embedding, recipe.label_embedding)
    for i, width in enumerate(recipe.hidden):
        hidden = _block(recipe, hidden, width, i)
    return entry, hidden


def noisy(recipe: "BaseRecipe", entry: Any) -> Any:
    """Return the entry with the recipe's noise on it in training."""
    if not recipe.input_noise:
        return entry
    return keras.layers.GaussianNoise(recipe.input_noise, name="input_noise")(entry)


def penalty(recipe: "BaseRecipe", share: float = 1.0) -> Any:
    """Return a share of the penalty on a hidden layer's kernel, None where there is none."""
    if not (recipe.l1 or recipe.l2):
        return None
    return keras.regularizers.L1L2(recipe.l1 * share, recipe.l2 * share)


def dropped(recipe: "BaseRecipe", hidden: Any, name: str) -> Any:
    """Return a hidden layer's output with the recipe's dropout."""
    if not recipe.dropout:
        return hidden
    return keras.layers.Dropout(recipe.dropout, name=f"dropout_{name}")(hidden)


def _block(recipe: "TrunkRecipe", entry: Any, width: int, i: int) -> Any:
    """Return one hidden layer: dense; with its input added; or with a gate on it."""

    def dense(name: str) -> Any:
        return keras.layers.Dense(width, kernel_regularizer=penalty(recipe), name=name)(entry)

    out = _normalized(recipe, dense(f"hidden_{i}"), i)
    out = keras.layers.Activation(recipe.activation, name=f"activation_{i}")(out)
    if recipe.block == "gated":
        gate = keras.layers.Activation("sigmoid", name=f"opening_{i}")(dense(f"gate_{i}"))
        out = keras.layers.Multiply(name=f"gated_{i}")([out, gate])
    out = dropped(recipe, out, str(i))
    if recipe.block == "residual":
        short = entry
        if entry.shape[-1] != width:
            short = keras.layers.Dense(width, use_bias=False, name=f"shortcut_{i}")(entry)
        out = keras.layers.Add(name=f"residual_{i}")([out, short])
    return out


def _normalized(recipe: "TrunkRecipe", hidden: Any, i: int) -> Any:
    if recipe.normalization == "batch":
        return keras.layers.BatchNormalization(name=f"normalization_{i}")(hidden)
    if recipe.normalization == "layer":
        return keras.layers.LayerNormalization(name=f"normalization_{i}")(hidden)
    return hidden
