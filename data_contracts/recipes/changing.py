"""A recipe with some of its fields changed, the architecture among them if asked."""

import copy
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from data_contracts.recipes import recipe_model
from data_contracts.recipes.base import BaseRecipe

Model = type[BaseRecipe]


def changed(recipe: BaseRecipe, changes: Mapping[str, Any]) -> BaseRecipe:
    """Return the recipe with values for fields, named as in `heads.nox.hidden`.

    With another architecture, what that does not have is left out, of the recipe and of the
    changes. Raises ValidationError for a value that a field does not take, RecipeFault for an
    architecture that cannot be had.
    """
    model = recipe_model(str(changes.get("architecture", recipe.architecture)))
    data = {k: v for k, v in chosen(recipe).items() if k in model.model_fields}
    for field, value in changes.items():
        if has(model, field):
            _set(data, field.split("."), copy.deepcopy(value))
    return model.model_validate(data)


def chosen(recipe: BaseRecipe) -> dict[str, Any]:
    """Return the fields of a recipe that are not as they would be if nobody named them."""
    fields = type(recipe).model_fields
    return {
        name: value
        for name, value in recipe.model_dump().items()
        if fields[name].is_required()
        or getattr(recipe, name) != fields[name].get_default(call_default_factory=True)
    }


def has(model: Model, field: str) -> bool:
    """Whether a recipe of this model has a field."""
    return field.split(".")[0] in model.model_fields


def whole(model: Model, field: str) -> bool:
    """Whether a field holds whole numbers alone."""
    return _leaves(model.model_fields[field].annotation) == {int}


def _leaves(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows, but None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _leaves(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return set().union(*map(_leaves, get_args(annotation)))
    return set() if annotation is type(None) else {annotation}


def _set(data: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        below = data.get(part)
        data[part] = dict(below) if isinstance(below, Mapping) else {}
        data = data[part]
    data[path[-1]] = list(value) if isinstance(value, tuple) else value
