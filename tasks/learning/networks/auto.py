"""`architecture: auto`: members that each hold out a fold, blended with ridge, kernel
regression and trees."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tasks.learning.corrupt import input_ends, without_corrupt
from tasks.learning.feeding import Held, Rows
from tasks.learning.folds import (
    FOLDS,
    IN_ORDER,
    SHUFFLED,
    fold_of_rows,
    in_batches,
    joined,
    marked,
    repeated,
)  # fmt: skip
from tasks.learning.layout import Layout
from tasks.learning.networks.blended import Beside, blended
from tasks.learning.networks.embeddings import Columns
from tasks.learning.networks.folded import BestOfGroups, FoldedTrainee
from tasks.learning.networks.outputs import bounded, deviations
from tasks.learning.networks.parts import (
    Between,
    Blend,
    MemberDropout,
    Reaches,
    RobustInputs,
    SeenBy,
)
from tasks.learning.networks.point import PointArchitecture
from tasks.learning.networks.stacked import StackedDense
from tasks.learning.networks.trunk import noisy, penalty
from tasks.learning.shards import Arrays
from tasks.learning.trainee import Trainee

if TYPE_CHECKING:
    from data_contracts.recipes.auto import AutoRecipe

FEW = 2000
"""Rows below which networks are small and steps are of few rows."""
EMBEDDED = 32
"""Numbers are encoded piecewise linearly where there are at most so many."""
LEAST = 384
"""Rows that an epoch has at least: fewer are taken several times."""
MOST_POOLED = 200_000
"""Rows above which no fold is held out: the validation rows are enough."""


class Auto(PointArchitecture):
    """Networks side by side; what is not named follows from rows, inputs and targets."""

    def build(self, recipe: "AutoRecipe", layout: Layout) -> keras.Model:
        """Return a network from inputs (rows, width) to (rows, members, targets + deviations)."""
        entry = keras.Input((layout.width,), name="inputs")
        within = Between(name="inputs_within")
        known = noisy(recipe, within(entry))
        within.set(*input_ends(layout.train))
        robust = RobustInputs(name="robust")
        hidden = robust(known)
        robust.fit(layout.train.inputs, layout.numeric)
        rates, members = rates_of(recipe, layout), members_of(recipe, layout)
        hidden = _embedded(known, hidden, layout, rates, members)
        for i, width in enumerate(hidden_of(recipe, layout)):
            layer = StackedDense(
                members, width, kernel_regularizer=penalty(recipe), name=f"hidden_{i}"
            )
            hidden = keras.layers.Activation(recipe.activation, name=f"activation_{i}")(
                layer(hidden)
            )
            if any(rates):
                own = [rate for rate in rates for _ in range(members // len(rates))]
                hidden = MemberDropout(own, name=f"dropout_{i}")(hidden)
        count = layout.targets + len(deviations(self.losses(recipe, layout)))
        raw = StackedDense(members, count, dtype="float32", name="targets")(hidden)
        return keras.Model(entry, bounded(raw, layout), name="auto")

    def trainee(self, network: keras.Model, recipe: Any, layout: Layout) -> Trainee:
        """Return members that each learn from the rows of other folds than their own."""
        groups = len(rates_of(recipe, layout))
        return FoldedTrainee(network, self.objective(recipe, layout), groups)

    def early_stopping(
        self, recipe: Any, trainee: Trainee, first_epoch: int
    ) -> keras.callbacks.EarlyStopping:
        """Return what keeps each group's best epoch."""
        return BestOfGroups(recipe.patience, first_epoch)

    def batch_size(self, recipe: Any, layout: Layout) -> int:
        """Return the rows of a step: a thirtieth of an epoch's, from 16 to what is named."""
        return int(min(recipe.batch_size, max(16, 2 ** round(np.log2(max(1, layout.rows) / 24)))))

    def rows(self, recipe: Any, layout: Layout, train: Rows, validation: Rows) -> tuple[Rows, Rows]:
        """Return train and validation rows together twice, with folds, where memory holds them."""
        held = isinstance(train, Held) and isinstance(validation, Held)
        whole = _pooled(layout, train.some, validation.some) if held else None
        if whole is None:
            return train, validation
        folds = fold_of_rows(len(whole.weight), layout.split, recipe.seed)
        pooled, size = marked(whole, folds), self.batch_size(recipe, layout)
        copies = -(-LEAST // len(whole.weight))
        train = Held(in_batches(repeated(pooled, copies), size))
        return train, train if copies == 1 else Held(in_batches(pooled, size))

    def beside(self, recipe: Any, layout: Layout, validation: Any) -> Beside | None:
        """Return the parts beside the members, where they are to have a share."""
        plain = all(o.activation == "linear" for o in layout.outputs)
        if not recipe.blend or not plain or set(self.losses(recipe, layout)) != {"mse"}:
            return None
        every = layout.rows == len(layout.train.weight)
        folds, rows = None, _pooled(layout, layout.train, validation) if every else None
        if rows is None:
            rows = without_corrupt(joined(layout.train, validation))
        else:
            folds = fold_of_rows(len(rows.weight), layout.split, recipe.seed)
        held = np.arange(len(rows.weight)) >= len(layout.train.weight)
        return Beside(rows, folds, held, layout.split in IN_ORDER, recipe.seed)

    def finish(
        self,
        network: keras.Model,
        recipe: Any,
        layout: Layout,
        validation: Any,
        beside: Beside | None,
    ) -> keras.Model:
        """Return the network blended with the parts beside it, where they are to have a share."""
        if beside is None:
            return network
        return blended(network, layout, beside, len(rates_of(recipe, layout)))

    def told(self, network: keras.Model) -> dict[str, Any]:
        """Return the share of the answer that each part has, by target."""
        found = [layer.told() for layer in network.layers if isinstance(layer, Blend)]
        if not found:
            return {}
        first, *second = found
        for stack in second:
            whole = np.array(stack.pop("networks"))
            first = {name: (whole * own).round(4).tolist() for name, own in first.items()} | stack
        return {"shares": first}

    def settings(self, recipe: Any, layout: Layout) -> dict[str, Any]:
        """Return the recipe as plain data, with what was chosen."""
        chosen = {"hidden": list(hidden_of(recipe, layout)), "members": members_of(recipe, layout)}
        return super().settings(recipe, layout) | chosen


def poolable(split: str, rows: int) -> bool:
    """Return whether train and validation rows may be divided into folds anew."""
    return split in (*SHUFFLED, *IN_ORDER) and 2 * FOLDS <= rows <= MOST_POOLED


def _pooled(layout: Layout, train: Arrays, validation: Arrays) -> Arrays | None:
    """Return the rows that are divided into folds, None where they are not: validation rows too,
    where they are not to judge alone."""
    count = len(train.weight) + (0 if layout.apart else len(validation.weight))
    if not poolable(layout.split, count):
        return None
    return without_corrupt(train if layout.apart else joined(train, validation))


def hidden_of(recipe: "AutoRecipe", layout: Layout) -> tuple[int, ...]:
    """Return the width of each hidden layer: those named, else by the number of rows."""
    if recipe.hidden is not None:
        return tuple(recipe.hidden)
    return (128, 128, 128) if layout.rows < FEW else (256, 256, 256)


def members_of(recipe: "AutoRecipe", layout: Layout) -> int:
    """Return how many members there are: in each group as named, else one for each fold."""
    return (recipe.members or FOLDS) * len(rates_of(recipe, layout))


def rates_of(recipe: "AutoRecipe", layout: Layout) -> tuple[float, ...]:
    """Return the dropout of each group of members.

    Few rows are learned with and without it, for what is noise to one set is all that another one
    has to say. Where rows are many, stopping in time is enough.
    """
    return (0.0, recipe.dropout) if recipe.dropout and layout.rows < FEW else (0.0,)


def _embedded(
    known: Any, robust: Any, layout: Layout, rates: tuple[float, ...], members: int
) -> Any:
    """Return robust inputs beside known numbers embedded piecewise linearly; alone where many.

    Steps between bins are met exactly by numbers as they came, and by nothing computed of them.
    Members with dropout see no steps: they are smooth where the others are not.
    """
    positions = [int(p) for p in layout.numeric]
    if not 0 < len(positions) <= EMBEDDED:
        return robust
    embedding = Reaches(name="numeric_embedding")
    embedded = embedding(Columns(positions, name="numbers")(known))
    embedding.fit(layout.train.inputs[:, positions])
    if not any(rates):
        return keras.layers.Concatenate(name="embedded")([embedded, robust])
    seeing = [not rate for rate in rates for _ in range(members // len(rates))]
    return SeenBy(seeing, name="embedded")([embedded, robust])
