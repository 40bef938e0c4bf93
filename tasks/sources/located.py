"""A source as it is now: what tells one content of it from another, and how DuckDB reads it."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.database import connect, literal
from tasks.sources.cut import Cut

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

STAGED = ".source.parquet"
"""The file that rows are copied to which DuckDB cannot read where they are."""


@dataclass(frozen=True)
class Located:
    """A source that is there. Either DuckDB reads it in place, or its rows come in batches."""

    name: str
    """What people know it by, without secrets."""
    identity: Callable[[], str]
    """Returns a hash that another content would change, taken when it is asked for."""
    files: tuple[str, ...] = ()
    """The paths or addresses that DuckDB may read."""
    reader: str = ""
    """SQL that reads them."""
    fs: Any = None
    """The fsspec file system of addresses."""
    batches: "Callable[[], pa.RecordBatchReader] | None" = None
    """Returns the rows of a source that DuckDB cannot read in place."""
    whole: "Callable[[], Located] | None" = None
    """Returns all rows, where the database was asked for some."""
    recent: "Callable[[Cut | None], str] | None" = None
    """Returns a hash of some rows, where nothing else tells whether they have changed."""
    misread: Callable[[Collection[str]], None] | None = None
    """Raises DataError where these columns, as DuckDB reads them, are not the source's own."""
    kept: Any = field(default=None, repr=False)
    """What must live as long as this does, such as a temporary folder."""


@contextmanager
def opened(
    source: Located, folder: Path, *more: Path
) -> "Iterator[tuple[duckdb.DuckDBPyConnection, str]]":
    """Yield a DuckDB connection and the SQL that reads the source with it.

    Rows that come in batches are copied into `folder` for as long. `more` files may be read.
    """
    if source.batches is None:
        with connect([*source.files, *more], source.fs) as database:
            yield database, source.reader
        return
    staged = folder / STAGED
    try:
        write_batches(source.batches(), staged)
        with connect([staged, *more]) as database:
            yield database, f"read_parquet({literal(str(staged))})"
    finally:
        staged.unlink(missing_ok=True)


def write_batches(reader: "pa.RecordBatchReader", file: Path) -> None:
    """Write batches into a Parquet file, one at a time."""
    import pyarrow.parquet as pq

    with reader, pq.ParquetWriter(file, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
