"""NetCDF and Zarr through xarray: dimensions flattened to rows, levels to vector groups.

A row is one combination of the dimensions that are no levels, in order. A variable over a level
dimension of 60 becomes 60 columns: `T_0` to `T_59`. A variable that lacks a dimension of the rows
is repeated along it. Rows are read in blocks along the first dimension.
"""

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.source import NetcdfSource, ZarrSource
from tasks.addresses import clean
from tasks.errors import DataError
from tasks.sources.files import Files
from tasks.sources.located import Located

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray as xr

BLOCK_ROWS = 16_384


def from_grids(source: NetcdfSource | ZarrSource, files: Files) -> Located:
    """Return the rows of NetCDF files or of a Zarr store as a source."""
    return Located(files.name, files.identity, batches=lambda: _batches(source, files))


def _batches(source: NetcdfSource | ZarrSource, files: Files) -> "pa.RecordBatchReader":
    import pyarrow as pa

    stream = _guarded(source, files)
    first = next(stream)
    return pa.RecordBatchReader.from_batches(first.schema, _alike(first, stream, files))


def _alike(
    first: "pa.RecordBatch", rest: "Iterator[pa.RecordBatch]", files: Files
) -> "Iterator[pa.RecordBatch]":
    """Yield all batches. Raises DataError where files do not have the same columns."""
    yield first
    for batch in rest:
        if batch.schema.names != first.schema.names:
            odd = sorted(set(batch.schema.names) ^ set(first.schema.names))[:5]
            raise DataError(
                f"the files of {files.name} differ: {', '.join(odd)} is in some of them alone; "
                "name what all have in source.variables"
            )
        yield batch.cast(first.schema)


def _guarded(source: NetcdfSource | ZarrSource, files: Files) -> "Iterator[pa.RecordBatch]":
    """Yield the batches of all files. Raises DataError in words for whatever is wrong in one."""
    try:
        for address in (source.path,) if source.kind == "zarr" else files.paths:
            with _dataset(source, files, address) as dataset:
                yield from flattened(dataset, source.levels, source.variables)
    except DataError as error:
        raise DataError(f"{files.name}: {error}") from None
    except ModuleNotFoundError as error:
        raise DataError(
            f"the package {error.name} is not installed: pip install 'polycast[xarray]'"
        ) from None
    except Exception as error:
        words = clean(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        raise DataError(f"{files.name} cannot be read: {words}") from None


@contextmanager
def _dataset(source: NetcdfSource | ZarrSource, files: Files, path: str) -> "Iterator[xr.Dataset]":
    """Yield an open dataset, nothing of which is read yet."""
    import xarray as xr

    if source.kind == "zarr":
        store = _store(files, path)
        with xr.open_zarr(store, chunks=None, decode_timedelta=False) as dataset:
            yield dataset
        return
    with (
        _here(files, path) as file,
        xr.open_dataset(file, engine="netcdf4", cache=False, decode_timedelta=False) as found,
    ):
        yield found


def _store(files: Files, path: str) -> Any:
    """Return a Zarr store; at an address through the file system that is open already: one that
    Zarr opened itself would never be closed."""
    if files.fs is None:
        return path
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from zarr.storage import FsspecStore

    inside = AsyncFileSystemWrapper(files.fs, asynchronous=True)
    return FsspecStore(inside, read_only=True, path=files.fs._strip_protocol(path))


@contextmanager
def _here(files: Files, path: str) -> Iterator[str]:
    """Yield the path of a file on this machine; one at an address is copied for as long."""
    if files.fs is None:
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="polycast-source-"))
    try:
        files.fs.get_file(path, str(folder / "copy.nc"))
        yield str(folder / "copy.nc")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flattened(
    dataset: "xr.Dataset", levels: tuple[str, ...], variables: tuple[str, ...]
) -> "Iterator[pa.RecordBatch]":
    """Yield a dataset's rows in batches. Raises DataError where it lacks what is asked for."""
    names, rows = _chosen(dataset, levels, variables)
    sizes = [dataset.sizes[d] for d in rows]
    step = max(1, BLOCK_ROWS // max(1, math.prod(sizes[1:])))
    for start in range(0, max(sizes[0], 1), step):
        block = dataset[names].isel({rows[0]: slice(start, start + step)})
        yield _batch(block, rows, levels, start)


def _chosen(
    dataset: "xr.Dataset", levels: tuple[str, ...], variables: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Return the variables to read and the dimensions of the rows."""
    have = list(map(str, dataset.variables))
    for wanted, there, what in ((levels, list(dataset.sizes), "dimension"),
                                (variables, have, "variable")):  # fmt: skip
        for name in wanted:
            if name not in there:
                known = ", ".join(map(str, there)) or "none"
                raise DataError(f"expected the {what} {name}, there are: {known}")
    asked = list(variables) or [n for n in have if set(dataset[n].dims) - set(levels)]
    asked.sort(key=lambda n: -len(set(dataset[n].dims) - set(levels)))
    rows = list(dict.fromkeys(d for n in asked for d in dataset[n].dims if d not in levels))
    if not rows:
        raise DataError("expected a variable with a dimension that is no level, there is none")
    order = {name: i for i, name in enumerate(have)}
    return sorted({*asked}, key=order.__getitem__), list(map(str, rows))


def _batch(
    block: "xr.Dataset", rows: list[str], levels: tuple[str, ...], start: int
) -> "pa.RecordBatch":
    import pyarrow as pa

    shape = [block.sizes[d] for d in rows]
    columns: dict[str, Any] = {}
    for at, name in enumerate(rows):
        if name not in block.variables:
            numbers = np.arange(shape[at], dtype=np.int64) + (start if at == 0 else 0)
            values = numbers.reshape([-1 if i == at else 1 for i in range(len(rows))])
            columns[name] = _array(np.broadcast_to(values, shape).reshape(-1))
    for variable_name, variable in block.variables.items():
        for column, values in _columns(str(variable_name), variable, rows, shape, levels):
            columns[column] = _array(values)
    return pa.record_batch(columns)


def _columns(
    name: str, variable: Any, rows: list[str], shape: list[int], levels: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    """Yield a variable's columns, each of as many values as there are rows."""
    dims = [str(d) for d in variable.dims]
    level = [d for d in dims if d in levels]
    if len(level) > 1:
        raise DataError(f"expected one level dimension in {name}, there are: {', '.join(level)}")
    inside = [d for d in rows if d in dims]
    values = np.asarray(variable.transpose(*inside, *level).values)
    size = values.shape[-1:] if level else ()
    values = values.reshape([n if d in dims else 1 for d, n in zip(rows, shape, strict=True)]
                            + list(size))  # fmt: skip
    flat = np.broadcast_to(values, (*shape, *size)).reshape(-1, *size)
    if not level:
        yield name, flat
    for i in range(size[0] if level else 0):
        yield f"{name}_{i}", flat[:, i]


def _array(values: Any) -> "pa.Array":
    """Return a column: moments in microseconds, those of another calendar by their date."""
    import pyarrow as pa

    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "O" and len(values) and hasattr(values[0], "isoformat"):
        dates = [np.datetime64(v.isoformat(), "us") for v in values]
        return pa.array(np.array(dates))
    if values.dtype.kind in "UO":
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return pa.array(np.ascontiguousarray(values))
