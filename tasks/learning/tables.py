"""Raw rows as Arrow: columns taken out as NumPy, with errors that name the column."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 8
"""How many columns of a block of rows are read at once: what a processor's own memory holds, so
that they are still there when they are scaled or added up."""


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
    except (pa.ArrowException, OverflowError) as error:
        raise ValueError(f"{name}: expected values of one type: {error}") from None


def numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column (n,) as float64, NaN for missing. Raises ValueError for anything else."""
    values = _plain(table.column(column))
    if values.type == pa.float64():
        return np.asarray(values.to_numpy())
    if pa.types.is_null(values.type):
        return np.full(len(table), np.nan)
    if _is_text(values.type):
        raise ValueError(f"{column}: expected numbers, came text such as {_example(values)!r}")
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    if not any(test(values.type) for test in tests):
        raise ValueError(f"{column}: expected numbers, came {values.type}")
    floats = pc.cast(values, pa.float64(), safe=False)
    return np.asarray(floats.to_numpy(), dtype=np.float64)


def seconds(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return points in time (n,) as seconds since 1970-01-01 UTC, NaN for missing.

    Text is read as ISO 8601; a time without a zone is taken as UTC. Raises ValueError for text
    of another form, and for numbers, since those do not tell their unit.
    """
    values = _plain(table.column(column))
    if pa.types.is_null(values.type):
        return np.full(len(table), np.nan)
    if _is_text(values.type):
        moments = _read_moments(values, column)
    elif pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        moments = pc.cast(values, pa.timestamp("us", tz="UTC"), safe=False)
    else:
        raise ValueError(f"{column}: expected points in time, came {values.type}")
    micros = pc.cast(pc.cast(moments, pa.int64()), pa.float64(), safe=False)
    return np.asarray(micros.to_numpy(), dtype=np.float64) / 1e6


def _read_moments(values: Any, column: str) -> Any:
    try:
        return pc.cast(values, pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid:
        try:
            return pc.cast(values, pa.timestamp("us"))
        except pa.ArrowInvalid as error:
            raise ValueError(f"{column}: expected points in time, came text: {error}") from None


def labels(table: pa.Table, column: str) -> NDArray[Any]:
    """Return labels (n,) as text, None for missing. Raises ValueError for what is no label."""
    return np.array(label_texts(table, column).to_pylist(), dtype=object)


def label_texts(table: pa.Table, column: str) -> Any:
    """Return labels as a string column of Arrow. Raises ValueError for what is no label.

    A whole number reads the same whether it is stored as 3 or, beside missing ones, as 3.0.
    """
    values = _plain(table.column(column))
    try:
        if pa.types.is_floating(values.type):
            values = pc.cast(values, pa.float64())
            whole = pc.cast(values, pa.int64(), safe=False)
            is_whole = pc.equal(pc.cast(whole, pa.float64(), safe=False), values)
            values = pc.if_else(is_whole, *(pc.cast(v, pa.string()) for v in (whole, values)))
        return pc.cast(values, pa.string())
    except pa.ArrowException:
        raise ValueError(f"{column}: expected labels, came {values.type}") from None


def _plain(values: Any) -> Any:
    """Return a column without its dictionary (pandas calls it a category)."""
    coded = pa.types.is_dictionary(values.type)
    return pc.cast(values, values.type.value_type) if coded else values


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _example(values: Any) -> Any:
    return next((v for v in values.to_pylist() if v is not None), None)
