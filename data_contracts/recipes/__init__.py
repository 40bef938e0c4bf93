"""Recipes: per architecture one file of typed options, and ready-made recipes as YAML.

A new architecture is a model in a file of its own here, named in `AnyRecipe` and, through
it, in `ARCHITECTURES`.
"""

from functools import cache
from importlib.resources import files
from typing import Annotated, Any, get_args

import yaml
from pydantic import BeforeValidator

from data_contracts.annotations import ChosenBy
from data_contracts.recipes.shared import SharedRecipe
from data_contracts.section import Refusal, Section, all_refused, did_you_mean

AnyRecipe = SharedRecipe
"""The union of all architectures' recipes."""
ARCHITECTURES: tuple[type[Section], ...] = get_args(AnyRecipe) or (SharedRecipe,)
"""Their models."""


@cache
def ready_made() -> dict[str, dict[str, Any]]:
    """Return the ready-made recipes by name, each as the mapping its YAML holds."""
    folder = files("data_contracts.recipes")
    found = {f.name[:-5]: f for f in folder.iterdir() if f.name.endswith(".yaml")}
    return {name: yaml.safe_load(found[name].read_text("utf-8")) for name in sorted(found)}


def resolve(recipe: Any) -> Any:
    """Return a recipe's full mapping from a ready-made name or `{base: NAME, …changes}`.

    A mapping with `architecture`, or a recipe's model, comes back as it is.
    Raises ValidationError on a name that is not ready-made, and on anything else.
    """
    if isinstance(recipe, str):
        return dict(_named(recipe, ()))
    if isinstance(recipe, dict) and "base" in recipe:
        changes = {key: value for key, value in recipe.items() if key != "base"}
        return _named(recipe["base"], ("base",)) | changes
    if isinstance(recipe, Section) or (isinstance(recipe, dict) and "architecture" in recipe):
        return recipe
    forms = f"a name ({', '.join(ready_made())}), {{base: NAME, …}} or {{architecture: …, …}}"
    raise all_refused("recipe", [Refusal((), forms, recipe)])


Recipe = Annotated[AnyRecipe, ChosenBy("architecture"), BeforeValidator(resolve)]


def _named(name: Any, path: tuple[str, ...]) -> dict[str, Any]:
    known = ready_made()
    if not isinstance(name, str) or name not in known:
        expected, hint = f"one of: {', '.join(known)}", did_you_mean(str(name), list(known))
        raise all_refused("recipe", [Refusal(path, expected, name, hint)])
    return known[name]
