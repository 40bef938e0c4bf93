"""The options of a recipe as a reader wants them: by group, each with type, default and meaning.

All of it stands in the models: names, types and limits in the fields, meanings in their
docstrings. A recipe of a user's own is described alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from data_contracts.recipes import ready_made
from data_contracts.recipes.base import BaseRecipe
from data_contracts.section import Section

Schema = dict[str, Any]
REQUIRED = object()
"""Stands for the default of an option that has none."""


@dataclass(frozen=True)
class Option:
    """One option of a recipe."""

    name: str
    takes: str
    """What it may be, in words."""
    default: Any
    """As it stands in YAML; None where absent says something of its own, else REQUIRED."""
    meaning: str


@dataclass(frozen=True)
class Group:
    """Options that one class brings, under what the class says of itself."""

    title: str
    options: tuple[Option, ...]
    of: str | None = None
    """The option under whose names these stand; None for options of the recipe itself."""


def one_line(text: str | None) -> str:
    """Return the first sentence of a docstring or a comment, on one line."""
    whole = " ".join((text or "").split())
    return whole.split(". ")[0].rstrip(".")


def about_ready_made() -> dict[str, str]:
    """Return what each ready-made recipe is: the first sentence of its leading comment."""
    return {name: one_line(_comment(name)) for name in ready_made()}


def _comment(name: str) -> str:
    text = files("data_contracts.recipes").joinpath(f"{name}.yaml").read_text("utf-8")
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def groups(model: type[BaseRecipe]) -> list[Group]:
    """Return a recipe's options: the architecture's own, then those it shares, training last."""
    schema = model.model_json_schema()
    found, seen = [], {"architecture"}
    for section in _sections(model):
        names = [n for n in model.model_fields if n in section.__annotations__ and n not in seen]
        seen.update(names)
        options = tuple(_option(n, schema) for n in names)
        if options:
            own = "Its own options" if section is model else one_line(section.__doc__)
            found.append(Group(own, options))
            found += _inner(names, schema)
    return found


def _sections(model: type[BaseRecipe]) -> Iterator[type[Section]]:
    """Yield the classes that bring options, what every recipe has last."""
    lineage = [c for c in model.__mro__ if issubclass(c, Section) and c is not Section]
    yield from (c for c in lineage if c is not BaseRecipe)
    yield BaseRecipe


def _option(name: str, schema: Schema) -> Option:
    field = schema["properties"][name]
    meaning = " ".join(field.get("description", "").split())
    default = REQUIRED if name in schema.get("required", ()) else field.get("default")
    return Option(name, _takes(field, schema.get("$defs", {})), default, meaning)


def _inner(names: list[str], schema: Schema) -> Iterator[Group]:
    """Yield a group for each option that maps names to options of their own."""
    for name in names:
        reference = (schema["properties"][name].get("additionalProperties") or {}).get("$ref")
        if reference:
            inner = _resolved({"$ref": reference}, schema["$defs"])
            options = tuple(
                _option(n, inner | {"$defs": schema["$defs"]}) for n in inner["properties"]
            )
            yield Group(f"Each of {name}", options, of=name)


def _resolved(field: Schema, definitions: Schema) -> Schema:
    inner: Schema = definitions[field["$ref"].rpartition("/")[2]]
    return inner


def _takes(field: Schema, definitions: Schema) -> str:
    """Return what a field may be, in words."""
    if "$ref" in field:
        return _takes(_resolved(field, definitions), definitions)
    if "anyOf" in field:
        forms = [_takes(f, definitions) for f in field["anyOf"] if f.get("type") != "null"]
        return " or ".join(dict.fromkeys(forms))
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    return _typed(field, definitions)


def _typed(field: Schema, definitions: Schema) -> str:
    kind = field.get("type")
    if kind == "array":
        inner = field.get("items", {})
        return f"list: {_takes(inner, definitions)}" if inner else "list"
    if kind == "object":
        return "mapping of names to options" if "additionalProperties" in field else "mapping"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    limits = {
        "minimum": "≥ {:g}", "exclusiveMinimum": "> {:g}",
        "maximum": "≤ {:g}", "exclusiveMaximum": "< {:g}",
    }  # fmt: skip
    said = [text.format(field[key]) for key, text in limits.items() if key in field]
    return " ".join([words.get(str(kind), "text"), *([", ".join(said)] if said else [])])
