"""What validation costs, against the same aggregates in one DuckDB query, and against pandas.

python -m tests.benchmarks.validation [--quick] [--json FILE]

20 float columns of 10M rows (`--quick`: 1M), and 80 expectations of them: each column present in
every row, within bounds, and its mean and its deviation within theirs. Processes of their own take
in turn: the validate stage's check, quarantine and data docs included, and one hand-written DuckDB
query of the same aggregates. At 1M the same suite also runs on Great Expectations' pandas engine.
The goals: at most 1.5 times the query's time at 10M rows, where at 1M a second may be added;
8 times faster than pandas at 1M; less than 1.5 GB.

Measured on 2 quiet cores: 9.5 times faster than pandas and 0.97 of the query at 1M, 0.51 of the
query at 10M, 0.58 GB.
"""

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

COLUMNS = [f"c{i}" for i in range(20)]
BATCH = 100_000
BOUNDS, MEAN, DEVIATION = (-50.0, 50.0), (-1.0, 1.0), (0.5, 2.0)


def write(file: Path, rows: int) -> None:
    """Write rows of standard normal columns, in order of their key."""
    draw = np.random.default_rng(0)
    names = ["_row", "id", *COLUMNS]
    types = [pa.int64(), pa.int64(), *[pa.float64()] * len(COLUMNS)]
    schema = pa.schema(list(zip(names, types, strict=True)))
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, rows, BATCH):
            key = np.arange(start, start + BATCH)
            values = draw.standard_normal((len(COLUMNS), BATCH))
            writer.write_table(pa.table([key, key, *values], schema=schema))


def contract() -> Any:
    """Return a contract of 80 expectations beside those that every contract implies."""
    from data_contracts.contract import Contract

    table = [
        {"check": check, "column": c, "min": low, "max": high}
        for c in COLUMNS
        for check, (low, high) in (("mean", MEAN), ("deviation", DEVIATION))
    ]
    rows = [{"check": "not_null", "column": c} for c in COLUMNS]
    bounded = {c: {"bounds": list(BOUNDS)} for c in COLUMNS[:-1]}
    return Contract.model_validate(
        {
            "format": 1,
            "dataset": "wide",
            "source": {"kind": "parquet", "path": "rows.parquet"},
            "key": ["id"],
            "features": bounded,
            "targets": {COLUMNS[-1]: {"unit": "1", "bounds": list(BOUNDS)}},
            "expectations": {"rows": rows, "table": table},
            "split": {"kind": "random"},
            "recipe": "shared_128_64",
        }
    )


def ours(file: Path) -> int:
    """Check the file as the validate stage does; return how many expectations there were."""
    from tasks.records import Snapshot
    from tasks.validate.checking import check_rows

    snapshot = Snapshot(rows=pq.read_metadata(file).num_rows, columns={}, source="")
    with tempfile.TemporaryDirectory(prefix="validation-") as folder:
        checked = check_rows(contract(), snapshot, file, Path(folder))
    if checked.breaches:
        sys.exit(f"the rows are good, and yet: {checked.breaches}")
    return checked.expectations


def by_hand(file: Path) -> int:
    """Take the same aggregates by one query."""
    import duckdb

    parts = ["count(*)", "count(DISTINCT id)"]
    for c in COLUMNS:
        parts += [f"count({c})", f"avg({c})", f"stddev_samp({c})", f"min({c})", f"max({c})"]
        parts += [f"count(*) FILTER (WHERE {c} < {BOUNDS[0]} OR {c} > {BOUNDS[1]})"]
    found = duckdb.execute(f"SELECT {', '.join(parts)} FROM read_parquet('{file}')").fetchall()
    return len(found[0])


def on_pandas(file: Path) -> int:
    """Ask Great Expectations the same of a pandas frame."""
    import great_expectations as gx
    import great_expectations.expectations as library
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows")
    found: list[Any] = [library.ExpectColumnValuesToBeUnique(column="id")]
    for c in COLUMNS:
        low, high = BOUNDS
        found += [
            library.ExpectColumnValuesToNotBeNull(column=c),
            library.ExpectColumnValuesToBeBetween(column=c, min_value=low, max_value=high),
            library.ExpectColumnMeanToBeBetween(column=c, min_value=MEAN[0], max_value=MEAN[1]),
            library.ExpectColumnStdevToBeBetween(
                column=c, min_value=DEVIATION[0], max_value=DEVIATION[1]
            ),
        ]
    suite = gx.ExpectationSuite("contract", expectations=found)
    frame = batch.get_batch({"dataframe": pd.read_parquet(file)})
    # As a quarantine needs it: which rows break an expectation.
    form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["_row"]}
    result = frame.validate(suite, result_format=form)
    if not result.success:
        sys.exit("the rows are good, and yet pandas finds fault with them")
    return len(result.results)


def timed(work: Callable[[Path], int], file: Path) -> tuple[float, float]:
    """Return the seconds that work took, imports left out, and the most memory in GB."""
    import duckdb  # noqa: F401
    import great_expectations.expectations  # noqa: F401
    import pandas as pd  # noqa: F401

    import tasks.validate.checking  # noqa: F401

    start = time.perf_counter()
    work(file)
    took = time.perf_counter() - start
    return took, peak_bytes() / 1e9


def alone(work: Callable[[Path], int], file: Path) -> tuple[float, float]:
    """Return what `timed` does, of a process that does nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(timed, work, file).result()


def side_by_side(file: Path, works: list[Callable[[Path], int]]) -> list[tuple[float, float]]:
    """Return each work's least time and its memory, of two rounds."""
    rounds = [[alone(work, file) for work in works] for _ in range(2)]
    return [min(r[i] for r in rounds) for i in range(len(works))]


def measure(quick: bool) -> Figures:
    """Return the figures at 1M rows, and unless quick those at 10M in their place."""
    with tempfile.TemporaryDirectory(prefix="validation-") as name:
        small = Path(name) / "small.parquet"
        write(small, 1_000_000)
        (own, peak), (query, _), (pandas, _) = side_by_side(small, [ours, by_hand, on_pandas])
        found: Figures = {
            "ours_1m_s": own,
            "duckdb_1m_s": query,
            "pandas_1m_s": pandas,
            "over_duckdb_1m_s": own - 1.5 * query,
            "speedup_vs_pandas_engine": pandas / own,
            "time_vs_duckdb": own / query,
            "peak_gb": peak,
        }
        if not quick:
            large = Path(name) / "large.parquet"
            write(large, 10_000_000)
            (own, peak), (query, _) = side_by_side(large, [ours, by_hand])
            found |= {
                "ours_10m_s": own,
                "duckdb_10m_s": query,
                "time_vs_duckdb": own / query,
                "peak_gb": peak,
            }
    return found


if __name__ == "__main__":
    run(measure, "Validation, against one query of the same aggregates, and against pandas")
