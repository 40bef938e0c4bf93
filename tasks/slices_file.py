"""`slices.parquet`: the candidate's error in every slice of the test rows, a SliceScore a row."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.records import SliceScore

_BY_MODEL = pa.map_(pa.string(), pa.float64())
SCHEMA = pa.schema(
    [
        ("slice", pa.string()),
        ("target", pa.string()),
        ("rows", pa.int64()),
        *((name, pa.float64()) for name in ("mae", "rmse", "ratio", "low")),
        ("others", _BY_MODEL),
        ("others_mae", _BY_MODEL),
    ]
)


def write_slices(scores: Iterable[SliceScore], file: Path) -> None:
    """Write scores of slices."""
    rows = [s.model_dump(include=set(SCHEMA.names)) for s in scores]
    pq.write_table(pa.Table.from_pylist([_paired(r) for r in rows], schema=SCHEMA), file)


def read_slices(file: Path) -> list[SliceScore]:
    """Return the scores that `write_slices` wrote."""
    rows = pq.read_table(file).to_pylist(maps_as_pydicts="strict")
    return [SliceScore(**row) for row in rows]


def _paired(row: dict[str, object]) -> dict[str, object]:
    """Return a row whose maps are pairs, as Arrow takes them."""
    return {k: list(v.items()) if isinstance(v, dict) else v for k, v in row.items()}
