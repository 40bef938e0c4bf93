"""The files of a source: one, those of a folder, or those that fit a pattern, here or at an
address that fsspec knows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks.addresses import clean, shown
from tasks.errors import DataError, SourceAway
from tasks.passing import passes
from tasks.storage import digest, file_digest

ENDINGS = {
    "parquet": (".parquet", ".parq", ".pq"),
    "csv": (".csv", ".csv.gz", ".csv.zst", ".tsv", ".txt"),
    "feather": (".feather", ".arrow", ".ipc"),
    "netcdf": (".nc", ".nc4", ".cdf"),
    "zarr": (),
}
"""How the names of files end that are read in a folder, by the kind of source."""
STAMPS = ("mtime", "ETag", "LastModified", "last_modified", "md5Hash")
"""What tells one content of a file at an address from another, by the names it is given."""


@dataclass(frozen=True)
class Files:
    """Files in order of their names. `fs` is None for local ones."""

    name: str
    """What was asked for, without secrets."""
    paths: tuple[str, ...]
    fs: Any = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The files as DuckDB and xarray are told them."""
        return self.paths if self.fs is None else tuple(map(self.fs.unstrip_protocol, self.paths))

    def identity(self) -> str:
        """Return a hash of local files' names and bytes, or of what an address says of them."""
        if self.fs is not None:
            self.fs.invalidate_cache()
            infos = [self.fs.info(path) for path in self.paths]
            return digest([[i["name"], i["size"], [str(i.get(s)) for s in STAMPS]] for i in infos])
        if len(self.paths) == 1:
            return file_digest(Path(self.paths[0]))
        below = os.path.commonpath(self.paths)
        return digest([[os.path.relpath(p, below), file_digest(Path(p))] for p in self.paths])

    def open(self, path: str) -> Any:
        """Return an open binary file."""
        return Path(path).open("rb") if self.fs is None else self.fs.open(path)


def find_files(address: str, dataset: str, kind: str) -> Files:
    """Return the files at a path, below a folder or of a pattern. Raises DataError."""
    fs, path = _system(address)
    try:
        return _found(fs, path, address, dataset, kind)
    except DataError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError | ValueError) or _of_client(error)):
            raise
        words = clean(f"{type(error).__name__}: {error}")
        told = f"the source of {dataset} cannot be reached: {words}{_mend(fs)}"
        raise (SourceAway if fs and passes(error) else DataError)(told) from None


def _of_client(error: Exception) -> bool:
    """Say whether a fault is of a package that reaches an address: S3's has faults that are no
    OSErrors, such as for keys that are not set."""
    return type(error).__module__.partition(".")[0] not in ("builtins", "tasks")


def _mend(fs: Any) -> str:
    """Say which settings S3's client goes by."""
    if fs is None or "s3" not in fs.protocol:
        return ""
    return ". Look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"


def _system(address: str) -> tuple[Any, str]:
    if "://" not in address:
        return None, address
    try:
        fs, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{shown(address)} cannot be read: {clean(str(error))}. "
            "For s3:// addresses: pip install 'polycast[s3]'"
        ) from None
    return (None, str(path)) if isinstance(fs, LocalFileSystem) else (fs, str(path))


def _found(fs: Any, path: str, address: str, dataset: str, kind: str) -> Files:
    asked = fs or LocalFileSystem()
    name = path if fs is None else shown(address)
    if asked.isfile(path):
        if asked.size(path) == 0:
            raise DataError(f"the source of {dataset} is empty: {name} has no bytes")
        return Files(name, (path,), fs)
    if asked.isdir(path):
        # A Zarr store is a folder of many files, all of which are its content.
        found = _below(asked, path, ENDINGS[kind])
        where = f"{name}/*{ENDINGS[kind][0]}" if ENDINGS[kind] else name
    elif set(path) & set("*?["):
        found = [f for f in asked.glob(path) if asked.isfile(f)]
        where = name
    else:
        raise DataError(f"the source of {dataset} is missing: no file at {name}")
    if not found:
        raise DataError(f"the source of {dataset} is missing: no file fits {where}")
    return Files(name, tuple(sorted(found)), fs)


def _below(fs: Any, folder: str, endings: Sequence[str]) -> list[str]:
    """Return the files below a folder, without hidden ones, as engines agree."""
    names = [str(name) for name in fs.find(folder)]
    if not endings:
        return names
    hidden = (".", "_")
    return [
        name
        for name in names
        if name.lower().endswith(tuple(endings))
        and not any(part.startswith(hidden) for part in name[len(folder) :].split("/"))
    ]
