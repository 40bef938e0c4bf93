"""Read YAML (and so JSON) safely, and remember on which line each key stands.

A contract is one mapping whose keys are text, each once. Aliases and merge keys are fine as
long as what they spell out stays small.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import yaml

from data_contracts.errors import ContractError, Path, Problem, dotted

MOST_VALUES = 200_000
"""The most keys and values that a contract may hold, aliases spelled out."""
MOST_LEVELS = 32
"""How deep lists and mappings may stand in one another."""
_TEXT_TAG, _MERGE_TAG = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_WRONG_VALUE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Document:
    """A contract's YAML as plain values, with the (line, column) of each path."""

    file: FilePath
    data: dict[str, Any]
    lines: dict[Path, tuple[int, int]]

    def place(self, path: Path) -> tuple[int, int]:
        """Return the line and column of a path, or of its nearest parent in the file."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, (1, 1))

    def where(self, path: Path) -> str:
        """Return file:line:column of a path, or of its nearest parent in the file."""
        line, column = self.place(path)
        return f"{self.file}:{line}:{column}"


def read(file: FilePath) -> Document:
    """Return a contract file's content. Raises ContractError with all that is wrong."""
    walk = _Walk(file)
    try:
        data = _plain(file.read_text("utf-8-sig"), walk)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else f"{file}:1:1"
        raise _unreadable(where, "valid YAML", str(error.problem)) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(f"{file}:1:1", "YAML text in UTF-8", str(error)) from None
    except OSError as error:
        raise _unreadable(str(file), "a file that can be read", str(error.strerror)) from None
    except RecursionError:
        raise _too_deep(f"{file}:1:1") from None
    if not isinstance(data, dict):
        got = "an empty file" if data is None else f"a {type(data).__name__}"
        problem = Problem(f"{file}:1:1", "the contract", "a mapping of keys to values", got)
        raise ContractError([problem])
    return Document(file, data, walk.lines)


def read_value(text: str) -> Any:
    """Return the plain value that a short YAML text stands for.

    Raises ContractError, yaml.YAMLError or RecursionError where it stands for none.
    """
    return _plain(text, _Walk(FilePath("the value")))


def _plain(text: str, walk: "_Walk") -> Any:
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return None
    walk.visit(node, ())
    if walk.problems:
        raise ContractError(walk.problems)
    return loader.construct_document(node)


def _unreadable(where: str, expected: str, got: str) -> ContractError:
    return ContractError([Problem(where, "the file", expected, got)])


def _too_deep(where: str) -> ContractError:
    return _unreadable(where, f"at most {MOST_LEVELS} levels of lists and mappings", "more")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with a line for every value that it cannot make."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Hashable:
        try:
            made: Hashable = super().construct_object(node, deep)
            return made
        except _WRONG_VALUE as error:
            said = f"{node.value!r:.80}, which is no {_kind(node)} ({error})"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from None


# What JSON and people take for a number, and YAML 1.1 for text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), "-+0123456789"
)


class _Walk:
    """Goes once through a tree of YAML nodes; notes each line and what is wrong."""

    def __init__(self, file: FilePath) -> None:
        self.file = file
        self.lines: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._visited = 0

    def visit(self, node: yaml.Node, path: Path) -> None:
        """Note `node`, which stands at `path`, and all below it."""
        self._visited += 1
        if self._visited > MOST_VALUES:
            expected = f"at most {MOST_VALUES:,} keys and values, aliases spelled out"
            raise _unreadable(f"{self.file}:1:1", expected, "more")
        if len(path) > MOST_LEVELS:
            raise _too_deep(self._where(node))
        self.lines.setdefault(path, _place(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._entry(key, value, path)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self.visit(item, (*path, i))
        elif not _printable(node.value):
            self._note(node, path, "text of characters that can be printed", repr(node.value))

    def _entry(self, key: yaml.Node, value: yaml.Node, path: Path) -> None:
        if not _is_text(key):
            got = "a list or a mapping"
            if isinstance(key, yaml.ScalarNode):
                got = f"{key.value!r:.80}, which YAML reads as {_kind(key)}; put it in quotes"
            self._note(key, path, "keys that are text", got)
            return
        at = (*path, key.value)
        if at in self.lines:
            got = f"the key again (first on line {self.lines[at][0]})"
            self._note(key, at, "each key once", got)
            return
        self.lines[at] = _place(key)
        self.visit(value, at)

    def _note(self, node: yaml.Node, path: Path, expected: str, got: str) -> None:
        self.problems.append(Problem(self._where(node), dotted(path), expected, got))

    def _where(self, node: yaml.Node) -> str:
        line, column = _place(node)
        return f"{self.file}:{line}:{column}"


def _place(node: yaml.Node) -> tuple[int, int]:
    return (node.start_mark.line + 1, node.start_mark.column + 1)


def _kind(node: yaml.Node) -> str:
    return str(node.tag).rpartition(":")[2]


def _is_text(key: yaml.Node) -> bool:
    return (
        isinstance(key, yaml.ScalarNode)
        and key.tag in (_TEXT_TAG, _MERGE_TAG)
        and _printable(key.value)
    )


def _printable(text: str) -> bool:
    """Whether text holds neither NUL nor half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
