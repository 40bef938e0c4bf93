"""`architecture: multi_head`: a shared trunk, then a head of its own per target or group."""

from typing import TYPE_CHECKING, Any

import keras

from tasks.learning.layout import Layout
from tasks.learning.networks.embeddings import Columns
from tasks.learning.networks.outputs import bounded, deviations
from tasks.learning.networks.point import PointArchitecture
from tasks.learning.networks.trunk import dropped, penalty, trunk

if TYPE_CHECKING:
    from data_contracts.recipes.multi_head import MultiHeadRecipe


def heads(recipe: "MultiHeadRecipe", layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return the positions of each head's targets, by the head's name."""
    found: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for group, positions in layout.groups.items() if recipe.head_per == "group" else ():
        # A target may be in a target group and in a vector: it has one head.
        own = tuple(p for p in positions if p not in taken)
        taken.update(own)
        if own:
            found[group] = own
    for p, output in enumerate(layout.outputs):
        if p not in taken:
            found[output.name] = (p,)
    return found


class MultiHead(PointArchitecture):
    """Trunk and heads, joined in the targets' order."""

    def losses(self, recipe: "MultiHeadRecipe", layout: Layout) -> list[str]:
        """Return each target's loss: its own, its head's, or else the recipe's."""
        out: list[str] = [recipe.loss] * layout.targets
        for name, positions in heads(recipe, layout).items():
            own = recipe.heads[name].loss if name in recipe.heads else None
            for p in positions:
                out[p] = layout.outputs[p].loss or own or recipe.loss
        return out

    def build(self, recipe: "MultiHeadRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, targets + deviations)."""
        entry, hidden = trunk(recipe, layout)
        spread = deviations(self.losses(recipe, layout))
        raws, order = [], []
        for i, (name, positions) in enumerate(heads(recipe, layout).items()):
            with_spread = [p for p in positions if p in spread]
            raws.append(_head(recipe, hidden, name, i, len(positions) + len(with_spread)))
            order += [*positions, *(layout.targets + spread.index(p) for p in with_spread)]
        joined = keras.layers.Concatenate(name="heads")(raws) if len(raws) > 1 else raws[0]
        places = [order.index(p) for p in range(len(order))]
        if places != sorted(places):
            joined = Columns(places, dtype="float32", name="in_order")(joined)
        return keras.Model(entry, bounded(joined, layout), name="multi_head")


def _head(recipe: "MultiHeadRecipe", hidden: Any, name: str, i: int, count: int) -> Any:
    """Return one head's raw output (rows, count)."""
    own = recipe.heads.get(name)
    widths = recipe.head_hidden if own is None or own.hidden is None else own.hidden
    activation = own.activation if own is not None and own.activation else recipe.activation
    for j, width in enumerate(widths):
        # Keras allows no dot, slash or space in a layer's name: heads go by number.
        layer = f"head_{i}_hidden_{j}"
        hidden = keras.layers.Dense(
            width, activation, kernel_regularizer=penalty(recipe), name=layer
        )(hidden)
        hidden = dropped(recipe, hidden, layer)
    return keras.layers.Dense(count, dtype="float32", name=f"head_{i}_targets")(hidden)
