"""What preprocessing costs, against Polars' streaming engine that does the same scaling to Parquet.

python -m tests.benchmarks.preprocessing [--quick] [--json FILE]

60 float columns of 10M rows (`--quick`: 1M), 4.8 GB in a temporary folder: TMPDIR says where.
Processes of their own take in turn: the preprocess stage (a split by the hash of the key, means,
deviations and medians of the train rows, shards of four splits), and Polars, which takes means and
deviations of all rows in one streaming query and sinks the scaled float32 columns to one Parquet
file, compressed alike, in another. The goal: 0.7 of Polars' throughput; memory that does not grow
with the rows.

Measured on 2 quiet cores, 10M rows, by machine: 0.72 (0.64 to 0.75) on an AMD processor without
AVX-512, 491,000 rows a second; 0.67 (0.61 to 0.67) on one with it (Zen 4), 803,000 rows a second,
where decoding costs Polars 4.7 processor seconds a pass and Arrow 5.7, and NumPy sorts at a quarter
of what it does without AVX-512. 0.64 GB, 0.6 for a tenth of the rows: what is mapped of the file
counts. Before the file was mapped and threads took Python's lock in short turns, 0.65 on a third
machine, with 0.46 GB; and when all train rows were sorted for the medians, 0.59. Arrow's other
memory pools change nothing that can be told from noise.

Both decode the rows twice, half of our time, two thirds of Polars'. The hash of each key, the sort
of a million rows and the division into four splits are what Polars does not do.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.harness import Figures, peak_bytes, run

COLUMNS = [f"c{i}" for i in range(60)]
BATCH = 65_536
ROUNDS = 3


def write(file: Path, rows: int) -> None:
    """Write rows of normal columns as ingest does, in order of their key."""
    draw = np.random.default_rng(0)
    names = ["_row", "id", *COLUMNS]
    types = [pa.int64(), pa.int64(), *[pa.float64()] * len(COLUMNS)]
    schema = pa.schema(list(zip(names, types, strict=True)))
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, rows, BATCH):
            key = np.arange(start, min(start + BATCH, rows))
            values = draw.normal(5, 3, (len(COLUMNS), key.size))
            writer.write_table(pa.table([key, key, *values], schema=schema))


def contract() -> Any:
    """Return a contract of 55 features and 5 targets."""
    from data_contracts.contract import Contract

    return Contract.model_validate(
        {
            "format": 1,
            "dataset": "wide",
            "source": {"kind": "parquet", "path": "rows.parquet"},
            "key": ["id"],
            "features": {c: {} for c in COLUMNS[:-5]},
            "targets": {c: {"unit": "1"} for c in COLUMNS[-5:]},
            "split": {"kind": "random"},
            "recipe": "shared_128_64",
        }
    )


def ours(file: Path, out: Path) -> None:
    """Write shards as the preprocess stage does."""
    from tasks.preprocess import write_shards
    from tasks.records import Checked, Snapshot

    rows = pq.read_metadata(file).num_rows
    snapshot = Snapshot(rows=rows, columns={}, source="")
    checked = Checked(snapshot=snapshot, rows=rows, quarantined=0, expectations=0)
    none = out / "quarantine.parquet"
    pq.write_table(pa.table({"_row": pa.array([], pa.int64())}), none)
    shards = write_shards(contract(), checked, file, none, out)
    assert sum(shards.folds[0].rows.values()) == rows


def polars(file: Path, out: Path) -> None:
    """Scale all columns by Polars' streaming engine, into one file."""
    import polars as pl

    rows = pl.scan_parquet(file)
    every = pl.col(COLUMNS)
    wanted = rows.select(every.mean().name.suffix("/mean"), every.std(ddof=0).name.suffix("/std"))
    found = wanted.collect(engine="streaming").row(0)
    means, deviations = found[: len(COLUMNS)], found[len(COLUMNS) :]
    parts = zip(COLUMNS, means, deviations, strict=True)
    scaled = [((pl.col(c) - m) / s).cast(pl.Float32) for c, m, s in parts]
    rows.select(scaled).sink_parquet(out / "scaled.parquet", compression="lz4", engine="streaming")


Cost = tuple[float, float, float]
"""Seconds, seconds of the processors, and peak memory in GB."""


def timed(work: Callable[[Path, Path], None], file: Path) -> Cost:
    """Return what a call costs in this process; imports do not count."""
    import polars  # noqa: F401

    import tasks.preprocess  # noqa: F401

    out = Path(tempfile.mkdtemp(prefix="out-", dir=file.parent))
    start, busy = time.monotonic(), time.process_time()
    work(file, out)
    seconds, busy = time.monotonic() - start, time.process_time() - busy
    shutil.rmtree(out)
    return seconds, busy, peak_bytes() / 2**30


def apart(work: Callable[[Path, Path], None], file: Path) -> Cost:
    """Time a call in a process of its own: nobody's memory counts for another."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(timed, work, file).result()


def measure(quick: bool) -> Figures:
    """Return what both take, in turn, and the ratio of the medians."""
    rows = 1_000_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory(prefix="preprocessing-") as folder:
        file = Path(folder) / "rows.parquet"
        write(file, rows)
        apart(ours, file)  # reads the file into the system's memory, and compiles
        taken = [(apart(ours, file), apart(polars, file)) for _ in range(ROUNDS)]
        small = Path(folder) / "small.parquet"
        write(small, rows // 10)
        tenth = apart(ours, small)
    (mine, busy, memory), (theirs, other_busy, other_memory) = (
        zip(*(pair[i] for pair in taken), strict=True) for i in (0, 1)
    )
    ratios = [t / m for m, t in zip(mine, theirs, strict=True)]
    return {
        "rows": float(rows),
        "seconds": float(np.median(mine)),
        "polars_seconds": float(np.median(theirs)),
        "rows_per_second": rows / float(np.median(mine)),
        "throughput_vs_polars": float(np.median(ratios)),
        "least_ratio": min(ratios),
        "greatest_ratio": max(ratios),
        "processor_seconds": float(np.median(busy)),
        "polars_processor_seconds": float(np.median(other_busy)),
        "peak_gb": max(memory),
        "peak_gb_of_a_tenth": tenth[-1],
        "polars_peak_gb": max(other_memory),
    }


if __name__ == "__main__":
    run(measure, "Preprocessing against Polars", sys.argv[1:])
