"""Find a contract, read its YAML safely, apply overrides, and validate it.

Every error names the file, the line, the key, what was expected and what came.
"""

import copy
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from data_contracts.contract import Contract
from data_contracts.errors import ContractError, Problem, UnknownDataset, dotted, refusals, shown
from data_contracts.overrides import Override, apply
from data_contracts.reading import Document, read
from data_contracts.section import Refusal, did_you_mean

RUN_SUFFIX = ".json"
"""How the file of a contract ends that a run left behind; it is not named for its dataset."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
EXAMPLES = "examples"
"""The folder of the shipped example contracts: its file `shared.yaml` is `example_shared`."""


def load_contract(dataset: str, overrides: Sequence[str] = ()) -> Contract:
    """Return the validated contract of a dataset.

    `dataset` is a name (looked for in ./data_contracts, then among the shipped contracts and
    examples), a path to a YAML file, or one to the `contract.json` that a run left behind;
    `overrides` are texts such as `recipe.epochs=5`.
    A relative path of the source comes back absolute.
    Raises UnknownDataset, or ContractError with all that is wrong.
    """
    document = read(find_contract(dataset))
    data = copy.deepcopy(document.data)
    applied = [apply(data, text) for text in overrides]
    checked = _checked(data, document.file)
    if isinstance(checked, Contract):
        return _with_absolute_path(checked, document.file.parent)
    raise _explained(document, checked, applied)


def find_contract(dataset: str) -> FilePath:
    """Return the YAML file of a dataset, given its name or the file's path.

    Raises UnknownDataset, with the nearest names where there are some.
    """
    if dataset.endswith((".yaml", ".yml", RUN_SUFFIX)):
        if os.path.isfile(dataset):  # answers no, and never raises, on any text
            return FilePath(dataset)
        raise UnknownDataset(f"no contract file at {dataset!r}")
    if not _NAME.fullmatch(dataset):
        raise UnknownDataset(
            f"{dataset!r} is no dataset name: expected lower-case letters, digits and "
            "underscores, starting with a letter, or a path that ends in .yaml"
        )
    known = example_files() | contract_files()
    if dataset not in known:
        near = did_you_mean(dataset, list(known))
        raise UnknownDataset(
            f"no contract is named {dataset!r}. {near}".rstrip()
            + "\n  looked in ./data_contracts and among the shipped contracts: "
            + ", ".join(contract_files())
        )
    return _inside_its_folder(known[dataset])


def contract_files() -> dict[str, FilePath]:
    """Return every contract's file by dataset name; a user's own come before shipped ones."""
    shipped = FilePath(str(files("data_contracts")))
    found: dict[str, FilePath] = {}
    for folder in (FilePath("data_contracts"), shipped):
        for file in sorted(folder.glob("*.yaml")):
            if _NAME.fullmatch(file.stem) and file.is_file():
                found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def example_files() -> dict[str, FilePath]:
    """Return the shipped examples' files by dataset name, one per architecture."""
    folder = FilePath(str(files("data_contracts"))) / EXAMPLES
    return {f"example_{file.stem}": file for file in sorted(folder.glob("*.yaml"))}


def _inside_its_folder(file: FilePath) -> FilePath:
    target = file.resolve()
    if not target.is_relative_to(file.parent.resolve()):
        raise UnknownDataset(f"{file} is a link out of its folder, to {target}: give that path")
    return file


def _checked(data: dict[str, Any], file: FilePath) -> Contract | list[Refusal]:
    """Return the contract, or all that is wrong with it."""
    try:
        contract = Contract.model_validate(data)
        found: list[Refusal] = []
    except ValidationError as error:
        contract = None
        found = refusals(error)
    name = data.get("dataset", file.stem)
    example = file.parent.name == EXAMPLES and name == f"example_{file.stem}"
    named = name == file.stem or example or file.suffix == RUN_SUFFIX
    if not named and ("dataset",) not in [r.path for r in found]:
        found.append(Refusal(("dataset",), f"{file.stem}, as the file is named", shown(name)))
    return found if contract is None or found else contract


def _explained(
    document: Document, found: list[Refusal], overrides: Sequence[Override]
) -> ContractError:
    """Say of each finding where it comes from: its line, or the override that caused it."""
    before = _checked(document.data, document.file) if overrides else []
    known = set(before) if isinstance(before, list) else set()
    problems: list[tuple[tuple[int, int], Problem]] = []
    for r in found:
        causes = [o for o in overrides if o.touches(r.path) and r not in known]
        where = f"--set {causes[-1].text}" if causes else document.where(r.path)
        problem = Problem(where, dotted(r.path), r.expected, str(r.got), r.hint)
        problems.append((document.place(r.path), problem))
    return ContractError([p for _, p in sorted(problems, key=lambda pair: pair[0])])


def _with_absolute_path(contract: Contract, folder: FilePath) -> Contract:
    source = contract.source
    if source.kind == "python" or source.path is None or "://" in source.path:
        return contract
    path = str((folder / source.path).resolve())
    return contract.model_copy(update={"source": source.model_copy(update={"path": path})})
