"""Architectures that installed packages bring: found by entry points, loaded when asked for.

A package brings two things under one name: a recipe (group `polycast.recipes`, a subclass of
BaseRecipe) and a network (group `polycast.architectures`, a subclass of
`tasks.learning.architecture.Architecture`). Only the recipe is loaded here, and only for a
contract that names it: a package that cannot be loaded harms nobody who does not ask for it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from data_contracts.annotations import TAG
from data_contracts.recipes.base import BaseRecipe
from data_contracts.section import Refusal, all_refused

GROUP = "polycast.recipes"
NETWORKS = "polycast.architectures"


class RecipeFault(Exception):
    """A recipe that cannot be had: why, and the mend."""


@cache
def _points() -> dict[str, dict[str, tuple[EntryPoint, ...]]]:
    """Return the entry points by group and name."""
    found = entry_points()
    groups = {group: found.select(group=group) for group in (GROUP, NETWORKS)}
    return {g: {p.name: tuple(points.select(name=p.name)) for p in points}
            for g, points in groups.items()}  # fmt: skip


def brought() -> tuple[str, ...]:
    """Return the names that packages bring a recipe or a network for, in order."""
    return tuple(sorted({name for names in _points().values() for name in names}))


def packages(name: str) -> str:
    """Return the packages that bring a name, as text."""
    points = [p for names in _points().values() for p in names.get(name, ())]
    return ", ".join(sorted({p.dist.name if p.dist else p.value for p in points}))


def brought_by(name: str) -> str | None:
    """Return `package==version` of the package that brings a name, None for Polycast's own."""
    points = _points()[NETWORKS].get(name, ())
    dist = points[0].dist if points else None
    return f"{dist.name}=={dist.version}" if dist else None


def brought_recipe(name: str, own: Collection[str]) -> type[BaseRecipe]:
    """Return the recipe's model that a package brings under `name`.

    `own` are Polycast's own names. Raises RecipeFault, which names the package and the mend.
    """
    who = f"architecture {name!r}, which the package {packages(name)} brings"
    if name in own:
        raise RecipeFault(
            f"{who} too, is Polycast's own: give the package's entry points another name, or "
            "uninstall it"
        )
    for group, names in _points().items():
        if len(names.get(name, ())) != 1:
            count = len(names.get(name, ()))
            raise RecipeFault(f"{who}: expected one entry point of {group}, came {count}")
    point = _points()[GROUP][name][0]
    try:
        model = point.load()
    except Exception as fault:  # whatever a stranger's module raises as it is loaded
        raise RecipeFault(
            f"{who}, cannot be loaded from {point.value}: {type(fault).__name__}: {fault}. "
            "Install what it lacks, mend it, or uninstall it"
        ) from fault
    if not (isinstance(model, type) and issubclass(model, BaseRecipe)):
        raise RecipeFault(f"{who}: {point.value} is no subclass of BaseRecipe")
    if get_args(model.model_fields["architecture"].annotation) != (name,):
        raise RecipeFault(f'{who}: {point.value} needs `architecture: Literal["{name}"]`')
    return model


@dataclass(frozen=True)
class ChosenRecipe:
    """One of the recipes that the annotated union names, or one that a package brings.

    The value of `architecture` chooses. A brought one is loaded by the first value that names it.
    """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        own = {name_of(model): handler.generate_schema(model) for model in get_args(source)}
        late = {name: _late(name, tuple(own)) for name in brought()}
        known = {TAG + name: schema for name, schema in (own | late).items()}
        return core_schema.tagged_union_schema(
            known,
            lambda value: _tag(value, known),
            custom_error_type="unknown_option",
            custom_error_message="{expected}",
            custom_error_context={"key": "architecture", "expected": ", ".join(own | late)},
        )


def name_of(model: type[BaseRecipe]) -> str:
    """Return the architecture's name that a recipe's model has."""
    return str(get_args(model.model_fields["architecture"].annotation)[0])


def _tag(value: Any, known: Collection[str]) -> str | None:
    name = value.get("architecture") if isinstance(value, dict) else None
    tag = f"{TAG}{getattr(value, 'architecture', name)}"
    return tag if tag in known else None


def _late(name: str, own: Collection[str]) -> CoreSchema:
    """Return the schema of a recipe that is loaded by the first value that asks for it."""

    def validate(value: Any) -> BaseRecipe:
        try:
            return brought_recipe(name, own).model_validate(value)
        except RecipeFault as fault:
            expected = "an architecture that can be used"
            refusal = Refusal(("architecture",), expected, name, str(fault))
            raise all_refused("recipe", [refusal]) from fault

    def describe(_: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        try:
            return handler(brought_recipe(name, own).__pydantic_core_schema__)
        except RecipeFault as fault:
            only = {"architecture": {"const": name}}
            return {"properties": only, "required": ["architecture"], "description": str(fault)}

    def dump(recipe: BaseRecipe, info: Any) -> dict[str, Any]:
        return recipe.model_dump(mode=info.mode)

    return core_schema.no_info_plain_validator_function(
        validate,
        metadata={"pydantic_js_functions": [describe]},
        serialization=core_schema.plain_serializer_function_ser_schema(dump, info_arg=True),
    )
