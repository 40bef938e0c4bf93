"""A recipe written into a contract's file: comments and layout stay, and nothing else changes."""

import difflib
import os
import re
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from data_contracts.loading import load_contract
from data_contracts.reading import read_value
from data_contracts.recipes import resolve
from data_contracts.recipes.base import BaseRecipe
from data_contracts.recipes.changing import chosen
from tasks.errors import WrongRequest
from tasks.storage import root_storage
from tasks.tuning.result import Tuned, flow_yaml, recipe_yaml

MARK = "# Tuned "
"""How the comment begins that says where a recipe comes from."""
Edit = tuple[int, int, str]
"""Where a text begins and ends, and what stands there from now on."""


def apply_recipe(file: Path, recipe: BaseRecipe, found: Tuned) -> str:
    """Write a recipe into a contract's file as its new version; return the unified diff.

    The version before is kept beside the study. Raises WrongRequest where the file cannot be
    edited so that it holds this recipe and all else as it was.
    """
    file = file.resolve()
    before = file.read_bytes().decode("utf-8")
    own = load_contract(str(file)).recipe
    if own == recipe:
        return ""
    after = with_recipe(before, own, recipe, _comment(found))
    _check(file, before, after, recipe)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    root_storage().put(f"{found.study}/before/{stamp}-{file.name}", before.encode())
    _replace(file, after)
    texts = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    return "".join(difflib.unified_diff(*texts, f"{file.name} before", f"{file.name} now"))


def with_recipe(text: str, own: BaseRecipe, recipe: BaseRecipe, comment: str) -> str:
    """Return a contract's text with another recipe, and a comment above it."""
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    key, value = next((k, v) for k, v in root.value if k.value == "recipe")
    edits = [*_comments(text, key.start_mark, comment), *_changes(text, key, value, own, recipe)]
    for start, end, now in sorted(edits, reverse=True):
        text = text[:start] + now + text[end:]
    return text


def _changes(
    text: str, key: yaml.Node, value: yaml.Node, own: BaseRecipe, recipe: BaseRecipe
) -> list[Edit]:
    if own.architecture != recipe.architecture:
        whole = recipe_yaml(recipe).removeprefix("recipe:").rstrip("\n")
        return [(key.end_mark.index + 1, _end(value), whole.replace("\n", _newline(text)))]
    old, new = chosen(own), chosen(recipe)
    names = [n for n in type(recipe).model_fields if old.get(n) != new.get(n)]
    changes = {n: flow_yaml(recipe.model_dump(mode="json")[n]) for n in names}
    if isinstance(value, yaml.ScalarNode):
        parts = ", ".join(f"{n}: {v}" for n, v in changes.items())
        start, end = value.start_mark.index, value.end_mark.index
        return [(start, end, f"{{base: {text[start:end]}, {parts}}}")]
    assert isinstance(value, yaml.MappingNode)
    known = {k.value: (k, v) for k, v in value.value}
    edits = [_replaced(*known[n], v) for n, v in changes.items() if n in known]
    added = [f"{n}: {v}" for n, v in changes.items() if n not in known]
    if added:
        edits.append(_added(text, value, added))
    return edits


def _replaced(key: yaml.Node, value: yaml.Node, now: str) -> Edit:
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        return key.end_mark.index + 1, _end(value), f" {now}"
    return value.start_mark.index, value.end_mark.index, now


def _added(text: str, mapping: yaml.MappingNode, lines: list[str]) -> Edit:
    """Return the edit that adds fields after a mapping's last one."""
    at = _end(mapping.value[-1][1])
    if mapping.flow_style:
        return at, at, "".join(f", {line}" for line in lines)
    rest = re.match(r"[^\r\n]*", text[at:])  # a comment on the last line stays there
    at += rest.end() if rest else 0
    indent = _newline(text) + " " * mapping.start_mark.column
    return at, at, "".join(indent + line for line in lines)


def _comments(text: str, at: Any, comment: str) -> list[Edit]:
    """Return the edit that puts a comment above the recipe, in place of an earlier one."""
    start = at.index - at.column
    before = text[:start].splitlines(keepends=True)
    if before and before[-1].startswith(MARK):
        start -= len(before[-1])
    return [(start, at.index - at.column, comment + _newline(text))]


def _end(node: yaml.Node) -> int:
    """Return where a node's text ends: a block's end mark lies beyond the comments after it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _comment(found: Tuned) -> str:
    best = found.best
    assert best is not None
    before = "" if found.own_error is None else f", {found.own_error:.4f} before"
    return (
        f"{MARK}{datetime.now(UTC):%Y-%m-%d}: trial {best.number} of {found.trials}, validation "
        f"error {best.error:.4f}{before}."
    )


def _check(file: Path, before: str, after: str, recipe: BaseRecipe) -> None:
    """Raise WrongRequest where an edited contract is not the old one with the recipe."""
    try:
        old, new = read_value(before), read_value(after)
        found = type(recipe).model_validate(resolve(new["recipe"]))
        same = {k: v for k, v in old.items() if k != "recipe"} == {
            k: v for k, v in new.items() if k != "recipe"
        }
    except Exception:  # whatever an edit that went wrong makes of the text
        same, found = False, None
    if not same or found != recipe:
        raise WrongRequest(
            f"{file}: expected a recipe that can be edited in its place, came one of anchors, "
            f"aliases or merge keys. Write this in its place:\n{recipe_yaml(recipe)}"
        )


def _replace(file: Path, text: str) -> None:
    """Write a file whole, in place of what is there, with the rights that it had."""
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        with draft.open("xb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(file, draft)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
