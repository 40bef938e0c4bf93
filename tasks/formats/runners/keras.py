"""Answers raw rows with a `.keras` file, by Keras alone, without Polycast.

`predict(load(folder), rows)`, with `folder` as the export wrote it and `rows` an Arrow table,
returns (rows, targets), float64, in the order of `inputs.json`. Labels go in as codes. On JAX,
Keras needs 64 bits for it: JAX_ENABLE_X64=1.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def load(folder: str) -> Any:
    """Return the model in a folder."""
    import keras

    model = keras.saving.load_model(Path(folder) / "model.keras", compile=False, safe_mode=True)
    return model, entries(folder)


def predict(model: Any, rows: pa.Table) -> Any:
    """Return the targets of raw rows, (rows, targets)."""
    network, content = model
    # `network.predict` would make float32 of what goes in, which is too coarse for points in time.
    found = network(feed(content["inputs"], rows), training=False)
    return np.stack([np.asarray(found[o["name"]]) for o in content["outputs"]], axis=1)


# What follows is the same in each of these scripts.


def entries(folder: str) -> dict[str, Any]:
    """Return what `inputs.json` says."""
    content: dict[str, Any] = json.loads((Path(folder) / "inputs.json").read_text("utf-8"))
    return content


def feed(inputs: list[dict[str, Any]], rows: pa.Table) -> dict[str, Any]:
    """Return raw rows as the model takes them: an array (rows,) by each input's name."""
    read = {"number": numbers, "seconds": seconds, "label": labels}
    return {e["name"]: read[e["reading"]](values(rows, e["column"]), e) for e in inputs}


def values(rows: pa.Table, column: str) -> Any:
    """Return a column without its dictionary. Raises ValueError where there is none."""
    if column not in rows.column_names:
        raise ValueError(f"raw rows need the column {column}; came: {', '.join(rows.column_names)}")
    found = rows.column(column)
    coded = pa.types.is_dictionary(found.type)
    return pc.cast(found, found.type.value_type) if coded else found


def numbers(found: Any, entry: dict[str, Any]) -> Any:
    """Return numbers as float64, NaN for missing."""
    return floats(found)


def seconds(found: Any, entry: dict[str, Any]) -> Any:
    """Return points in time, ISO 8601 text too, as seconds since 1970 in UTC, NaN for missing."""
    if pa.types.is_null(found.type):
        return floats(found)
    try:
        moments = pc.cast(found, pa.timestamp("us", tz="UTC"), safe=False)
    except pa.ArrowInvalid:  # text without a zone
        moments = pc.cast(found, pa.timestamp("us"), safe=False)
    return floats(pc.cast(moments, pa.int64())) / 1e6


def floats(found: Any) -> Any:
    """Return a column as float64, NaN for missing."""
    return np.asarray(pc.cast(found, pa.float64(), safe=False).to_numpy(), np.float64)


def labels(found: Any, entry: dict[str, Any]) -> Any:
    """Return labels as their codes or, where the model takes text, as text."""
    if pa.types.is_floating(found.type):  # 3.0 beside missing ones is the label 3
        found = pc.cast(found, pa.float64())
        whole = pc.cast(found, pa.int64(), safe=False)
        same = pc.equal(pc.cast(whole, pa.float64(), safe=False), found)
        found = pc.if_else(same, pc.cast(whole, pa.string()), pc.cast(found, pa.string()))
    texts = pc.cast(found, pa.string()).to_pylist()
    if entry["dtype"] == "string":
        return np.array([entry["missing"] if t is None else t for t in texts], object)
    codes = {label: code for code, label in enumerate(entry["labels"])}
    return np.array([codes.get(t, len(codes)) for t in texts], np.int32)
