"""One network file per architecture, and the registry that finds them by name."""

from collections.abc import Callable
from typing import Any

import keras

from data_contracts.recipes import Recipe
from tasks.learning.networks import shared

BUILDERS: dict[str, Callable[[Any, int, int], keras.Model]] = {"shared": shared.build}


def build_network(recipe: Recipe, inputs: int, targets: int) -> keras.Model:
    """Return an untrained network of `inputs` inputs and `targets` outputs for a recipe."""
    return BUILDERS[recipe.architecture](recipe, inputs, targets)
