"""One finished fold of a model on a set, kept as a small JSON file and used again.

A file is keyed by what decides the figures: the fold's rows, the model's options and the versions
of the packages below it. The code of ours that decides them is named in the file instead, since it
changes often: what other code measured is measured anew, unless `any_code` says that it will do.
"""

import ast
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CODE = ("data_contracts/recipes", "tasks/learning", "tasks/backends")
"""The folders whose code decides what a network of ours answers."""


@dataclass(frozen=True)
class Result:
    """How well one model does on the test rows of one fold, and what it cost."""

    set: str
    model: str
    fold: int
    arrmse: float
    """The mean over targets of sqrt(SSE / SSE of the train mean)."""
    rmse: float
    """Over all rows and targets, in units as they come."""
    rrmse: dict[str, float]
    """sqrt(SSE / SSE of the train mean) by target."""
    fit_s: float
    predict_s: float
    cpu_s: float
    """Processor seconds of fit."""
    cores: int
    versions: dict[str, str]
    code: str = ""
    """A hash of our own code, where that decides the answers."""


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the installed versions by distribution."""
    return {name: version(name) for name in packages}


def code() -> str:
    """Return a hash of what our code does: comments and docstrings do not count."""
    found = hashlib.sha256()
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*.py")):
            tree = _Bare().visit(ast.parse(file.read_text("utf-8")))
            found.update(f"{file.relative_to(ROOT)} {ast.dump(tree)}".encode())
    return found.hexdigest()[:16]


class _Bare(ast.NodeTransformer):
    """Takes out docstrings."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


class Kept:
    """The folder of finished folds."""

    def __init__(self, folder: Path, any_code: bool = False) -> None:
        self.folder = folder
        self.any_code = any_code

    def find(self, file: Path, own: str) -> Result | None:
        """Return what a file holds, None where there is none or it is of other code."""
        if not file.is_file():
            return None
        found = Result(**json.loads(file.read_text("utf-8")))
        return found if self.any_code or found.code == own else None

    def file(self, name: str, model: str, fold: int, decides: Any) -> Path:
        """Return where a fold's figures are, by what decides them."""
        text = json.dumps([name, model, fold, decides], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        kind = model.partition(":")[0]
        return self.folder / name / f"{kind}-{fold}-{key}.json"

    def put(self, file: Path, result: Result) -> None:
        """Write a result: whole, or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(asdict(result), indent=1), "utf-8")
        part.replace(file)
