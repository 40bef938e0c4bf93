"""Recipes: per architecture one file of typed options, and ready-made recipes as YAML.

A new architecture is a model in a file of its own here, named in `ARCHITECTURES`. One of a
user's own comes by an entry point: `brought.py` says how.
"""

from collections.abc import Sequence
from functools import cache, reduce
from importlib.resources import files
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BeforeValidator

from data_contracts.recipes.auto import AutoRecipe
from data_contracts.recipes.base import BaseRecipe
from data_contracts.recipes.brought import (
    ChosenRecipe,
    RecipeFault,
    brought,
    brought_recipe,
    name_of,
)
from data_contracts.recipes.cvae import CvaeRecipe
from data_contracts.recipes.deep_gp import DeepGpRecipe
from data_contracts.recipes.ensemble import EnsembleRecipe
from data_contracts.recipes.independent import IndependentRecipe
from data_contracts.recipes.joint_gaussian import JointGaussianRecipe
from data_contracts.recipes.mixture import MixtureRecipe
from data_contracts.recipes.multi_head import MultiHeadRecipe
from data_contracts.recipes.quantile import QuantileRecipe
from data_contracts.recipes.shared import SharedRecipe
from data_contracts.section import Refusal, Section, all_refused, did_you_mean

AUTO = "auto"
"""The recipe of a contract that names none; no ready-made one, but named like one."""

ARCHITECTURES: tuple[type[BaseRecipe], ...] = (
    AutoRecipe,
    SharedRecipe,
    MultiHeadRecipe,
    IndependentRecipe,
    EnsembleRecipe,
    JointGaussianRecipe,
    DeepGpRecipe,
    CvaeRecipe,
    MixtureRecipe,
    QuantileRecipe,
)
"""The recipe of every architecture of our own."""


def architecture_names() -> tuple[str, ...]:
    """Return every architecture's name: our own, then those that packages bring."""
    own = tuple(map(name_of, ARCHITECTURES))
    return own + tuple(name for name in brought() if name not in own)


def recipe_model(name: str) -> type[BaseRecipe]:
    """Return an architecture's recipe model; a brought one is loaded for it.

    Raises RecipeFault for a name that nobody has, or two, and where its package is at fault.
    """
    own = {name_of(model): model for model in ARCHITECTURES}
    if name in brought():
        return brought_recipe(name, own)
    if name not in own:
        raise RecipeFault(unknown(name, architecture_names()))
    return own[name]


def unknown(name: str, known: Sequence[str]) -> str:
    """Return what to say of a name that no recipe has, with the nearest names."""
    hint = did_you_mean(name, list(known))
    said = f"no recipe is named {name!r}. {hint}".rstrip()
    return f"{said}\n  there are: {', '.join(known)}"


@cache
def ready_made() -> dict[str, dict[str, Any]]:
    """Return the ready-made recipes by name, each as the mapping its YAML holds."""
    folder = files("data_contracts.recipes")
    found = {f.name[:-5]: f for f in folder.iterdir() if f.name.endswith(".yaml")}
    return {name: yaml.safe_load(found[name].read_text("utf-8")) for name in sorted(found)}


def bases() -> dict[str, dict[str, Any]]:
    """Return what a recipe may be by name, or begin with: `auto`, then the ready-made ones."""
    return {AUTO: {"architecture": AUTO}} | ready_made()


def resolve(recipe: Any) -> Any:
    """Return a recipe's full mapping from `auto`, a ready-made name or `{base: NAME, …changes}`.

    A mapping with `architecture`, or a recipe's model, comes back as it is.
    Raises ValidationError on a name that no recipe has, and on anything else.
    """
    if isinstance(recipe, str):
        return dict(_named(recipe, ()))
    if isinstance(recipe, dict) and "base" in recipe:
        changes = {key: value for key, value in recipe.items() if key != "base"}
        return _named(recipe["base"], ("base",)) | changes
    if isinstance(recipe, Section) or (isinstance(recipe, dict) and "architecture" in recipe):
        return recipe
    forms = f"a name ({', '.join(bases())}), {{base: NAME, …}} or {{architecture: …, …}}"
    raise all_refused("recipe", [Refusal((), forms, recipe)])


if TYPE_CHECKING:
    Recipe = BaseRecipe
else:
    Recipe = Annotated[reduce(or_, ARCHITECTURES), ChosenRecipe(), BeforeValidator(resolve)]


def _named(name: Any, path: tuple[str, ...]) -> dict[str, Any]:
    known = bases()
    if not isinstance(name, str) or name not in known:
        expected, hint = f"one of: {', '.join(known)}", did_you_mean(str(name), list(known))
        raise all_refused("recipe", [Refusal(path, expected, name, hint)])
    return known[name]
