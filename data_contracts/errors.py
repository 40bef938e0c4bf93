"""Errors that a user can mend, and how pydantic's findings become them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import ValidationError

from data_contracts.annotations import TAG
from data_contracts.section import Refusal, did_you_mean

Path = tuple[str | int, ...]

_WORDS = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "missing": "a value, which is required",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of {ge:g} or more",
    "multiple_of": "a multiple of {multiple_of:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of {le:g} or less",
}


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a contract: where it stands, what was expected, what came."""

    where: str
    """file:line:column, or the override it came from."""
    key: str
    """The key's path in the contract, dots between its parts."""
    expected: str
    got: str
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.key}", f"  expected {self.expected}", f"  got {self.got}"]
        return "\n".join([*lines, *([f"  {self.hint}"] if self.hint else [])])


class ContractError(ValueError):
    """A contract that cannot be used. `problems` lists what is wrong, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))

    def __reduce__(self) -> tuple[type["ContractError"], tuple[list[Problem]]]:
        return (ContractError, (self.problems,))


class UnknownDataset(LookupError):
    """No contract has the dataset's name."""


def dotted(path: Path) -> str:
    """Return a path as a user would type it: `gate.rules[0].metric`."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".") or "the contract"


def refusals(error: ValidationError) -> list[Refusal]:
    """Return pydantic's findings, each as the path, what was expected in words, and what
    came, in words too."""
    return [_refusal(e) for e in error.errors(include_url=False) if not _hollow(e)]


def shown(value: Any) -> str:
    """Return a value that came, and what it is: `5 (a whole number)`. Long ones are cut."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"a mapping with {_cut(', '.join(map(str, value))) or 'no keys'}"
    if isinstance(value, date):
        return f"{value} (a date; put it in quotes to make it text)"
    kinds = {
        bool: "true or false",
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        tuple: "a list",
    }
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{_cut(text)} ({kinds.get(type(value), type(value).__name__)})"


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _hollow(error: Any) -> bool:
    """Whether pydantic calls a list too short only since its items are at fault."""
    short = error["type"] == "too_short"
    return short and len(error["input"]) >= int(error["ctx"]["min_length"])


def _refusal(error: Any) -> Refusal:
    kind, got, context = error["type"], error["input"], error.get("ctx", {})
    path = tuple(p for p in error["loc"] if not str(p).startswith(TAG) and p != "[key]")
    if kind == "unknown_key":
        return Refusal(path, context["expected"], f"{got}, which is no key here", context["hint"])
    if kind == "unknown_option":
        return _unknown_option(path, context["key"], context["expected"], got)
    if kind == "refused":
        return Refusal(path, context["expected"], shown(context["got"]), context["hint"])
    if kind == "literal_error":
        return _listed(path, context["expected"].replace(" or ", ", ").replace("'", ""), got)
    said = error["msg"].removeprefix("Value error, ")
    expected = _WORDS[kind].format(**context) if kind in _WORDS else said
    return Refusal(path, expected, "nothing" if kind == "missing" else shown(got))


def _unknown_option(path: Path, key: str, options: str, section: Any) -> Refusal:
    if not isinstance(section, dict):
        return Refusal(path, f"a mapping with the key {key}", shown(section))
    return _listed((*path, key), options, section.get(key))


def _listed(path: Path, options: str, got: Any) -> Refusal:
    known = options.split(", ")
    expected = f"one of: {options}" if len(known) > 1 else options
    return Refusal(path, expected, shown(got), did_you_mean(str(got), known) if got else "")
