"""Rows to predict: a Parquet file or a folder of such files, read block by block in order.

In: a path or an address. Out: Inputs. Raises DataError where there is nothing to read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from tasks.addresses import shown
from tasks.errors import DataError
from tasks.storage import digest

STAMPS = ("mtime", "ETag", "LastModified", "last_modified", "md5Hash")
"""What tells one content of a file from another, by the names that file systems give it."""


@dataclass(frozen=True)
class Inputs:
    """The files of some rows, in order of their names, all of the same columns."""

    fs: Any
    files: tuple[str, ...]
    counts: tuple[int, ...]
    """How many rows each file has."""
    schema: pa.Schema

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(self.counts)

    @property
    def local(self) -> bool:
        """Whether they lie on this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @cached_property
    def identity(self) -> str:
        """A hash that another content of the files would change."""
        infos = [self.fs.info(file) for file in self.files]
        return digest([[i["name"], i["size"], [str(i.get(s)) for s in STAMPS]] for i in infos])

    def blocks(self, columns: Sequence[str], size: int, skip: int = 0) -> Iterator[pa.Table]:
        """Yield tables of `size` rows at most, without the first `skip` rows of all."""
        for file, count in zip(self.files, self.counts, strict=True):
            if skip < count:
                yield from self._blocks(file, columns, size, skip)
            skip = max(skip - count, 0)

    def _blocks(
        self, file: str, columns: Sequence[str], size: int, skip: int
    ) -> Iterator[pa.Table]:
        with opened(self.fs, file) as source:
            groups = range(source.num_row_groups)
            sizes = [source.metadata.row_group(i).num_rows for i in groups]
            first = 0
            while first < len(sizes) and sizes[first] <= skip:
                skip -= sizes[first]
                first += 1
            wanted = list(groups)[first:]
            for batch in source.iter_batches(size, row_groups=wanted, columns=list(columns)):
                left, skip = batch.slice(skip), max(skip - len(batch), 0)
                if len(left):
                    yield pa.Table.from_batches([left]).cast(self._selected(columns))

    def _selected(self, columns: Sequence[str]) -> pa.Schema:
        return pa.schema([self.schema.field(column) for column in columns])


def open_inputs(address: str) -> Inputs:
    """Return the rows at a path or an address. Raises DataError."""
    fs, files = _files(address)
    counts, schema = [], None
    for file in files:
        with opened(fs, file) as source:
            counts.append(source.metadata.num_rows)
            found = source.schema_arrow.remove_metadata()
        if schema is not None and not _alike(schema, found):
            raise DataError(
                f"{shown(file)}: expected the columns and types of {shown(files[0])}, came others; "
                "predict files that differ one by one"
            )
        schema = schema or found
    return Inputs(fs, files, tuple(counts), schema)


def opened(fs: Any, file: str) -> pq.ParquetFile:
    """Return an open Parquet file. Raises DataError for a file of another kind."""
    local = isinstance(fs, LocalFileSystem)
    try:
        return pq.ParquetFile(file if local else fs.open(file), pre_buffer=not local)
    except pa.ArrowInvalid as error:
        raise DataError(f"{shown(file)} is no whole Parquet file: {error}") from None


def _files(address: str) -> tuple[Any, tuple[str, ...]]:
    try:
        fs, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise DataError(f"{shown(address)} cannot be read: {error}") from None
    if not fs.isdir(path):
        if not fs.exists(path):
            raise DataError(f"expected a Parquet file or a folder of such, came {shown(address)}: "
                            "nothing is there")  # fmt: skip
        return fs, (path,)
    names = (str(name) for name in fs.find(path))
    found = tuple(sorted(n for n in names if n.endswith(".parquet") and not _hidden(n, path)))
    if not found:
        raise DataError(f"expected files *.parquet in {shown(address)}, came none")
    return fs, found


def _hidden(name: str, folder: str) -> bool:
    """Whether a file, or a folder on the way to it, is none of the data, as engines agree."""
    return any(part.startswith((".", "_")) for part in name[len(folder) :].split("/"))


def _alike(one: pa.Schema, other: pa.Schema) -> bool:
    return {f.name: f.type for f in one} == {f.name: f.type for f in other}
