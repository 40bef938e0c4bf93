"""The file to draft a contract of: what kind of source reads it, and the names it holds."""

import os
from pathlib import Path
from typing import Any

from data_contracts.columns import expand
from data_contracts.source import CsvSource, FeatherSource, NetcdfSource, ParquetSource
from tasks.errors import DataError, WrongRequest
from tasks.sources.files import ENDINGS, find_files
from tasks.sources.gridded import from_grids
from tasks.sources.located import Located
from tasks.sources.tables import from_tables

RESERVED = ("_row", "_reasons")
LONGEST = 200
"""The most characters of a column's name in a draft."""
_KINDS: dict[str, Any] = {"parquet": ParquetSource, "csv": CsvSource, "feather": FeatherSource}


def at(data: str, dataset: str, folder: Path) -> tuple[Located, str, str]:
    """Return the source at a path, its kind, and the path as a contract in `folder` says it.

    Raises WrongRequest where no kind of source reads such a file, DataError where there is none.
    """
    from pydantic import ValidationError

    kind = _kind(data)
    files = find_files(data, dataset, kind)
    path = data
    if "://" not in data:
        path = Path(os.path.relpath(Path(data).resolve(), folder.resolve())).as_posix()
    try:
        if kind == "netcdf":
            return from_grids(NetcdfSource(kind="netcdf", path=data), files), kind, path
        return from_tables(_KINDS[kind](kind=kind, path=data), files), kind, path
    except ValidationError:
        raise WrongRequest(f"{files.name}: expected an address without user or password") from None


def _kind(data: str) -> str:
    """Return the kind of source that reads a file, or the files below a folder."""
    names = [data]
    if os.path.isdir(data):
        names = [str(f) for f in sorted(Path(data).rglob("*")) if f.is_file()]
    for kind in (*_KINDS, "netcdf"):
        if any(name.lower().endswith(ENDINGS[kind]) for name in names):
            return kind
    if "://" not in data and not os.path.exists(data) and not set(data) & set("*?["):
        raise DataError(f"there is no file at {data}")
    known = ", ".join(e for kind in (*_KINDS, "netcdf") for e in ENDINGS[kind])
    raise WrongRequest(f"{data}: expected a file, a folder or a pattern of {known}")


def odd_names(names: list[str]) -> dict[str, str]:
    """Return the columns that a contract cannot name, and why."""
    found: dict[str, str] = {}
    had: set[str] = set()
    for name in names:
        if why := _odd(name, had):
            found[name] = why
        had.add(name.lower())
    return found


def _odd(name: str, had: set[str]) -> str:
    if name in RESERVED:
        return "has a name that Polycast gives its own columns"
    if "\0" in name:
        return "has a name that some libraries cut"
    if not name.strip() or len(name) > LONGEST:
        return f"has a name of {len(name)} characters"
    if name.lower() in had:
        return "differs from another column by case alone"
    try:
        vector = expand(name) != (name,)
    except ValueError:
        vector = True
    return "has a name that stands for a vector of columns" if vector else ""
