"""Overrides: texts such as `recipe.epochs=5` that change a contract before it is checked."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from data_contracts.errors import ContractError, Path, Problem
from data_contracts.reading import read_value
from data_contracts.recipes import AUTO
from data_contracts.section import did_you_mean

_STEP = re.compile(r"\[(?P<index>[0-9]{1,9})\]|\.?(?P<name>[^.\[\]]+)")
_COLUMN_SECTIONS = (("features",), ("targets",), ("target_groups",))


@dataclass(frozen=True)
class Override:
    """A value for one key of the contract."""

    text: str
    """As it was given."""
    path: Path
    value: Any

    def touches(self, path: Path) -> bool:
        """Whether the key at `path` is this override's own, inside it or around it."""
        shared = min(len(path), len(self.path))
        return path[:shared] == self.path[:shared]


def apply(data: dict[str, Any], text: str) -> Override:
    """Set one `key.path=value` in `data`, the value read as YAML, and return it parsed.

    Raises ContractError where the text is no override, or its key cannot be in a contract.
    """
    key, equals, value_text = text.partition("=")
    key = key.strip()
    if not equals or not key or not key.isprintable():
        raise _bad(text, "key=value, such as recipe.epochs=5", repr(text))
    try:
        value = read_value(value_text)
    except (yaml.YAMLError, ContractError, RecursionError):
        raise _bad(text, "a YAML value after =", repr(value_text)) from None
    override = Override(text, _path(data, key, text), value)
    _set(data, override)
    return override


def _path(data: Any, key: str, text: str) -> Path:
    """Split a key at its dots and brackets, but for those that are part of a column's name."""
    path: list[str | int] = []
    here, rest = data, key
    while rest:
        name = _own_name(here, rest.removeprefix(".")) if path else _own_name(here, rest)
        step = _STEP.match(rest)
        if name:
            path.append(name)
            rest = rest.removeprefix(".")[len(name) :]
        elif step:
            path.append(int(step["index"]) if step["index"] else step["name"])
            rest = rest[step.end() :]
        else:
            raise _bad(text, "a key such as recipe.epochs or gate.rules[0].by", key)
        here = _below(here, path[-1])
    return tuple(path)


def _own_name(here: Any, rest: str) -> str:
    """Return the longest key of `here` that `rest` starts with, or an empty text."""
    keys = here if isinstance(here, dict) else ()
    fits = [k for k in keys if rest == k or rest.startswith((f"{k}.", f"{k}["))]
    return max(fits, key=len, default="")


def _below(here: Any, part: str | int) -> Any:
    if isinstance(here, dict):
        return here.get(part)
    if isinstance(here, list) and isinstance(part, int) and part < len(here):
        return here[part]
    return None


def _set(data: dict[str, Any], override: Override) -> None:
    here: Any = data
    *parents, last = override.path
    for i, part in enumerate(parents):
        here = _section(here, part, override, override.path[:i])
    exists = isinstance(here, list) and isinstance(last, int) and last < len(here)
    if not exists and not (isinstance(here, dict) and isinstance(last, str)):
        raise _no_field(override, here, last)
    here[last] = override.value


def _section(here: Any, part: str | int, override: Override, parent: Path) -> Any:
    """Return what the override's next key holds: a section of its own, not one shared
    through an alias. A section that the file leaves out is made, but no column is."""
    below = _below(here, part)
    if part == "recipe" and not parent and (below is None or isinstance(below, str)):
        below = {"base": below or AUTO}
    if below is None and isinstance(here, dict) and isinstance(part, str):
        below = None if parent in _COLUMN_SECTIONS else {}
    if not isinstance(below, dict | list):
        raise _no_field(override, here, part)
    here[part] = below.copy()
    return here[part]


def _no_field(override: Override, here: Any, part: str | int) -> ContractError:
    known = list(here) if isinstance(here, dict) else []
    got = f"{part}, which is no key there" if isinstance(part, str) else f"[{part}]"
    return _bad(override.text, "the key of a field", got, did_you_mean(str(part), known))


def _bad(text: str, expected: str, got: str, hint: str = "") -> ContractError:
    return ContractError([Problem(f"--set {text}", "the override", expected, got, hint)])
