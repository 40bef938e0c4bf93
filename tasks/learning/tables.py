"""Raw rows as Arrow: columns taken out as NumPy, with errors that name the column."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def as_table(rows: "pa.Table | pd.DataFrame", columns: Iterable[str]) -> pa.Table:
    """Return the named columns of raw rows as an Arrow table; others are left out.

    Raises ValueError that names the columns which are not there.
    """
    names = list(dict.fromkeys(columns))
    have = rows.column_names if isinstance(rows, pa.Table) else list(rows.columns)
    absent = [name for name in names if name not in have]
    if absent:
        raise ValueError(
            f"raw rows need the columns {', '.join(absent)}; came: {', '.join(map(str, have))}"
        )
    if isinstance(rows, pa.Table):
        return rows.select(names)
    arrays = [_from_pandas(rows[name], name) for name in names]
    return pa.table(dict(zip(names, arrays, strict=True)))


def _from_pandas(series: "pd.Series[Any]", name: str) -> pa.Array:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{name}: expected values of one type, came mixed ones: {error}") from None


def numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column (n,) as float64, NaN for missing. Raises ValueError for text."""
    values = table.column(column)
    if pa.types.is_null(values.type):
        return np.full(len(table), np.nan)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        raise ValueError(f"{column}: expected numbers, came text such as {_example(values)!r}")
    try:
        floats = pc.cast(values, pa.float64(), safe=False)
    except pa.ArrowNotImplementedError:
        raise ValueError(f"{column}: expected numbers, came {values.type}") from None
    return np.asarray(floats.to_numpy(), dtype=np.float64)


def seconds(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return points in time (n,) as seconds since 1970-01-01 UTC, NaN for missing.

    Text is read as ISO 8601; a time without a zone is taken as UTC.
    """
    values = table.column(column)
    if pa.types.is_null(values.type):
        return np.full(len(table), np.nan)
    try:
        moments = pc.cast(values, pa.timestamp("us", tz="UTC"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        try:
            moments = pc.cast(values, pa.timestamp("us"))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(
                f"{column}: expected points in time, came {values.type}: {error}"
            ) from None
    micros = pc.cast(pc.cast(moments, pa.int64()), pa.float64(), safe=False)
    return np.asarray(micros.to_numpy(), dtype=np.float64) / 1e6


def labels(table: pa.Table, column: str) -> NDArray[Any]:
    """Return labels (n,) as text, None for missing."""
    values = table.column(column)
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if pa.types.is_floating(values.type):
        whole = pc.cast(values, pa.int64(), safe=False)
        if pc.all(pc.equal(pc.cast(whole, values.type), values)).as_py() is not False:
            values = whole
    return np.array(pc.cast(values, pa.string()).to_pylist(), dtype=object)


def _example(values: Any) -> Any:
    return next((v for v in values.to_pylist() if v is not None), None)
