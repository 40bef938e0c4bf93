"""What the model that would be published costs: its size, and how long it takes to answer."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.records import Cost

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle

REPEATS = {1: 30, 10_000: 5}
"""By how many rows are asked for at once: how often, at most."""
PATIENCE = 2.0
"""Seconds after which no further answer is asked for."""


def cost(folder: Path, bundle: "Bundle", rows: pa.Table) -> Cost:
    """Return the cost of the bundle in `folder`, timed on raw `rows` that are repeated."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    found = {}
    for count in REPEATS:
        copies = -(-count // len(rows))
        taken = _timed(bundle, pa.concat_tables([rows] * copies).slice(0, count), REPEATS[count])
        found[f"p50/{count}"] = float(np.median(taken))
        # Of a few answers, the slowest stands for the slowest of a hundred.
        found[f"p99/{count}"] = float(np.quantile(taken, 0.99, method="higher"))
    return Cost(megabytes=size / 1e6, milliseconds=found)


def _timed(bundle: "Bundle", rows: pa.Table, most: int) -> list[float]:
    """Return how many milliseconds each answer took; the first one, which compiles, is left out."""
    bundle.predict(rows)
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < most and (not taken or time.perf_counter() - start < PATIENCE):
        begun = time.perf_counter()
        bundle.predict(rows)
        taken.append(1e3 * (time.perf_counter() - begun))
    return taken
