"""`architecture: shared`: hidden layers shared by all targets, then one output layer."""

import keras

from data_contracts.recipes.shared import SharedRecipe


def build(recipe: SharedRecipe, inputs: int, targets: int) -> keras.Model:
    """Return a network from (rows, inputs) to (rows, targets), both scaled."""
    entry = keras.Input((inputs,), name="inputs")
    hidden = entry
    for i, width in enumerate(recipe.hidden):
        hidden = keras.layers.Dense(width, recipe.activation, name=f"hidden_{i}")(hidden)
    output = keras.layers.Dense(targets, name="targets")(hidden)
    return keras.Model(entry, output, name="shared")
