"""Parquet, CSV and Feather. DuckDB reads the first two where they are, at addresses too."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.source import CsvSource, FeatherSource, ParquetSource
from tasks.database import literal
from tasks.errors import DataError
from tasks.sources.files import Files
from tasks.sources.located import Located
from tasks.sources.ragged import refuse_ragged

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "NA")
"""The texts for a missing value in a CSV file whose contract names none."""


def from_tables(source: ParquetSource | CsvSource | FeatherSource, files: Files) -> Located:
    """Return the rows of some files as a source."""
    if source.kind == "feather":
        return Located(files.name, files.identity, batches=lambda: _feather(files))
    texts = source.missing if isinstance(source, CsvSource) else MISSING
    reader = _sql(files.addresses, source.kind == "parquet", texts)
    misread = None if source.kind == "parquet" else partial(refuse_ragged, files)
    return Located(files.name, files.identity, files.addresses, reader, files.fs, misread=misread)


def from_file(file: Path) -> Located:
    """Return the rows of one Parquet or CSV file as a source."""
    files = Files(str(file), (str(file),))
    reader = _sql(files.paths, file.suffix.lower() == ".parquet", MISSING)
    return Located(
        files.name, files.identity, files.paths, reader, misread=partial(refuse_ragged, files)
    )


def _sql(addresses: tuple[str, ...], parquet: bool, texts: tuple[str, ...]) -> str:
    names = f"[{', '.join(map(literal, addresses))}]"
    several = ", union_by_name = true" if len(addresses) > 1 else ""
    if parquet:
        return f"read_parquet({names}{several})"
    missing = ", ".join(map(literal, texts))
    return f"read_csv({names}, nullstr = [{missing}], header = true{several})"


def _feather(files: Files) -> "pa.RecordBatchReader":
    """Return the batches of Feather files. Raises DataError where one is none, or differs."""
    import pyarrow as pa
    from pyarrow import ipc

    def schema() -> pa.Schema:
        with files.open(files.paths[0]) as file, ipc.open_file(file) as reader:
            return reader.schema.remove_metadata()

    def batches() -> Iterator[pa.RecordBatch]:
        for path in files.paths:
            try:
                with files.open(path) as file, ipc.open_file(file) as reader:
                    _alike(files, path, expected, reader.schema.remove_metadata())
                    for i in range(reader.num_record_batches):
                        batch = reader.get_batch(i).select(expected.names)
                        batch.validate(full=True)
                        yield batch.replace_schema_metadata()
            except broken as error:
                raise DataError(f"{path} cannot be read: {error}") from None

    broken = (pa.ArrowException, OSError, MemoryError, ValueError)
    try:
        expected = schema()
    except broken as error:
        raise DataError(f"{files.name} cannot be read: {error}") from None
    return pa.RecordBatchReader.from_batches(expected, batches())


def _alike(files: Files, path: str, expected: "pa.Schema", came: "pa.Schema") -> None:
    if {f.name: f.type for f in expected} != {f.name: f.type for f in came}:
        raise DataError(
            f"{path}: expected the columns and types of {files.paths[0]}, came others; "
            "write them alike, or choose files that are by source.path"
        )
