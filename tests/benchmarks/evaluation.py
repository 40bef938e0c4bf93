"""What evaluating many rows costs, in time and memory, against a plain mean of the same files.

python -m tests.benchmarks.evaluation [--quick] [--json FILE]

Truth and the answers of two models, 10M rows of 20 targets (`--quick`: 1M) in 32 bits, are written
as Parquet block by block. Two processes of their own then read them block by block: one takes
NumPy's mean of each column, the other adds up the errors of both models and their paired errors by
block of time, and draws 1,000 block-bootstrap resamples for each target and for all together.
The goal: at most 5 times the mean's time, in less than 2 GB.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.benchmarks.harness import Figures, peak_bytes, run

TARGETS, BLOCKS, BATCH, FILE_ROWS = 20, 2_048, 65_536, 1_000_000
PARTS = ("truth", "candidate", "champion")
Columns = list[NDArray[np.float32]]


def write(folder: Path, rows: int) -> None:
    """Write files of truth and answers whose errors hang together over some thousand rows.

    The candidate's are 5 % below the champion's.
    """
    draw = np.random.default_rng(0)
    names = [f"{part}/t{i}" for part in PARTS for i in range(TARGETS)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    for start in range(0, rows, FILE_ROWS):
        with pq.ParquetWriter(
            folder / f"{start:09d}.parquet", schema, use_dictionary=False
        ) as file:
            for _ in range(start, min(start + FILE_ROWS, rows), FILE_ROWS // 10):
                shape = (TARGETS, FILE_ROWS // 10)
                truth = draw.standard_normal(shape, np.float32)
                size = np.repeat(draw.uniform(0.5, 1.5, shape[1] // 2_000), 2_000)
                own, other = draw.standard_normal((2, *shape), np.float32) * size.astype("f4")
                values = np.concatenate([truth, truth + 0.95 * own, truth + other])
                file.write_table(pa.table(list(values.astype(np.float32)), schema=schema))


def batches(folder: Path) -> Iterator[Columns]:
    """Yield the columns of BATCH rows at a time, in order."""
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield [column.to_numpy() for column in batch.columns]


def mean(folder: Path, rows: int) -> float:
    """Return the mean of all columns."""
    total = sum(len(c) * float(np.mean(c)) for columns in batches(folder) for c in columns)
    return total / (rows * TARGETS * len(PARTS))


def evaluate(folder: Path, rows: int) -> float:
    """Return the ratio of the candidate's error to the champion's, over all targets."""
    from tasks.learning.block_sums import BlockSums
    from tasks.learning.paired import Paired, effects
    from tasks.learning.point_sums import PointSums

    candidate, champion, paired = PointSums(TARGETS), PointSums(TARGETS), BlockSums(BLOCKS, TARGETS)
    start = 0
    for columns in batches(folder):
        parts = (columns[i * TARGETS : (i + 1) * TARGETS] for i in range(len(PARTS)))
        truth, own, other = (np.stack(part).T for part in parts)
        candidate.add(truth, own)
        champion.add(truth, other)
        block = np.arange(start, start + len(truth)) * BLOCKS // rows
        paired.add(block, truth, own, other)
        start += len(truth)
    found = effects(
        paired.weight,
        *paired.errors("rmse"),
        metric="rmse",
        order="time",
        margin=0.02,
        confidence=0.95,
        critical=[True] * TARGETS,
        resamples=1_000,
    )
    errors = zip(candidate.errors(), champion.errors(), strict=True)
    ratios = [a.rmse / b.rmse for a, b in errors if a is not None and b is not None]
    if not isinstance(found.joint, Paired):
        sys.exit(f"nothing was compared: {found.joint}")
    if not np.isclose(found.joint.ratio, np.exp(np.mean(np.log(ratios))), rtol=1e-6):
        sys.exit(f"the sums disagree: {found.joint.ratio} by block, {np.mean(ratios)} by target")
    return found.joint.ratio


def timed(work: Callable[[Path, int], float], folder: Path, rows: int) -> tuple[float, float]:
    """Return the seconds that work took, and the most memory of this process in GB."""
    start = time.perf_counter()
    work(folder, rows)
    took = time.perf_counter() - start
    return took, peak_bytes() / 1e9


def alone(work: Callable[[Path, int], float], folder: Path, rows: int) -> tuple[float, float]:
    """Return what `timed` does, of a process that does nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(timed, work, folder, rows).result()


def measure(quick: bool) -> Figures:
    """Return the better of two times each, taken in turn, so that a busy moment counts for both."""
    rows = FILE_ROWS if quick else 10 * FILE_ROWS
    with tempfile.TemporaryDirectory(prefix="evaluation-") as name:
        folder = Path(name)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(write, folder, rows).result()
        stored = sum(f.stat().st_size for f in folder.iterdir())
        pairs = [(alone(mean, folder, rows), alone(evaluate, folder, rows)) for _ in range(2)]
    plain, whole = (min(pair[i][0] for pair in pairs) for i in (0, 1))
    return {
        "rows": float(rows),
        "files_gb": stored / 1e9,
        "numpy_mean_s": plain,
        "evaluation_s": whole,
        "time_vs_numpy_mean": whole / plain,
        "peak_gb": max(pair[1][1] for pair in pairs),
    }


if __name__ == "__main__":
    run(measure, "Evaluating many rows, against a plain mean of the same files")
