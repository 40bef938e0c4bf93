"""Small contracts and raw rows for tests."""

from typing import Any

import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract


def small_contract(**changes: Any) -> Contract:
    """Return a contract of three features and two targets over the columns of `small_rows`."""
    content: dict[str, Any] = {
        "format": 1,
        "dataset": "small",
        "source": {"kind": "parquet", "path": "rows.parquet"},
        "key": ["id"],
        "time": "time",
        "features": {
            "x": {"unit": "m"},
            "z": {"scaling": "robust"},
            "place": {"kind": "categorical"},
            "angle": {"kind": "cyclic", "period": 360},
            "time": {"kind": "timestamp", "parts": ["hour_of_day", "day_of_week"]},
        },
        "targets": {
            "a": {"unit": "K", "present": "x"},
            "b": {"unit": "Pa", "present": "z", "transform": "change"},
        },
        "split": {"kind": "random"},
        "recipe": {"base": "shared_128_64", "hidden": [16], "epochs": 3, "batch_size": 64},
    }
    return Contract.model_validate(content | changes)


def small_rows(count: int = 200, seed: int = 0, missing: float = 0.1) -> pa.Table:
    """Return raw rows whose targets follow from the features, with missing cells."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(5, 2, count), draw.normal(-3, 4, count)
    angle = draw.uniform(0, 360, count)
    hours = np.datetime64("2024-01-01T00", "us") + np.arange(count) * np.timedelta64(1, "h")
    columns: dict[str, Any] = {
        "_row": np.arange(count),
        "id": np.arange(count),
        "time": hours.astype("datetime64[us]"),
        "x": _holes(x, missing, draw),
        "z": _holes(z, missing, draw),
        "place": [["here", "there", None][i] for i in draw.integers(0, 3, count)],
        "angle": _holes(angle, missing, draw),
        "a": _holes(2 * x + 1, missing, draw),
        "b": _holes(z + 0.5 * x, missing, draw),
    }
    return pa.table(columns)


def _holes(values: Any, share: float, draw: np.random.Generator) -> pa.Array:
    return pa.array(np.where(draw.random(values.size) < share, np.nan, values), from_pandas=True)
