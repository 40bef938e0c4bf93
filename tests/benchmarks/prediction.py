"""How near batch prediction comes to a bare compiled forward pass, and where the rest goes.

python -m tests.benchmarks.prediction [--quick] [--json FILE]

Rows of 100 numbers (20 targets) lie in a Parquet file, and the same rows scaled in memory. In turn,
round by round, a compiled function of the network alone goes over those in memory, and batch
prediction over the file: read, checked against the contract, encoded, answered, written with its
parts. Both are warm: what starting takes is left out. Of four layers of 1,024 units the goal is 0.7
of the bare pass. Of layers of 128 and 64 units the shares are of all seconds that threads spent,
some of them at the same time. Peak memory is that of processes of their own over two numbers of
rows.
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tests.benchmarks.harness import Figures, peak_bytes, run

INPUTS, TARGETS, BATCH, GROUP = 100, 20, 8192, 1 << 17
WIDE, NARROW = (1024, 1024, 1024, 1024), (128, 64)


def contract(hidden: tuple[int, ...]) -> Contract:
    """Return the contract of a network with these hidden layers."""
    return Contract.model_validate(
        {
            "format": 1,
            "dataset": "rows",
            "source": {"kind": "parquet", "path": "rows.parquet"},
            "key": ["id"],
            "features": {f"x[{INPUTS}]": {"bounds": [-100, 100]}},
            "targets": {f"y[{TARGETS}]": {"unit": "m"}},
            "split": {"kind": "random"},
            "recipe": {"architecture": "shared", "hidden": list(hidden)},
        }
    )


def write(file: Path, rows: int) -> None:
    """Write rows in 64 bits, as most sources hold them."""
    draw = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int64()), *((f"x_{i}", pa.float64()) for i in range(INPUTS))])
    with pq.ParquetWriter(file, schema, use_dictionary=False, compression="zstd") as writer:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            values = draw.standard_normal((INPUTS, count))
            writer.write_table(pa.table([np.arange(start, start + count), *values], schema=schema))


def answering(asked: Contract) -> Any:
    """Return an untrained version, ready to answer, its preprocessing fitted on some rows."""
    from tasks.backends import backend

    backend()
    from tasks.backends.compiled import compiled
    from tasks.learning.bundle import Bundle, Member
    from tasks.learning.fit_preprocessing import fit_preprocessing
    from tasks.learning.layout import lay_out
    from tasks.learning.limits import limits_of
    from tasks.learning.networks import architecture
    from tasks.learning.shards import to_arrays
    from tasks.predict.model import Answering

    draw = np.random.default_rng(1)
    names = [*(f"x_{i}" for i in range(INPUTS)), *asked.target_columns]
    rows = pa.table({name: draw.standard_normal(1000) for name in names})
    fitted = fit_preprocessing(asked, rows)
    layout = lay_out(asked, fitted, to_arrays(asked, fitted, rows))
    kind = architecture("shared")
    network, settings = kind.build(asked.recipe, layout), kind.settings(asked.recipe, layout)
    limits = limits_of(asked, [1.0] * TARGETS)
    bundle = compiled(Bundle([Member(network, fitted, "shared", settings, limits)]))
    return Answering("rows", "1", asked, bundle, "")


def stream(model: Any, source: Path, out: Path) -> Any:
    """Predict a file's rows into another, and return how the work went."""
    from tasks.predict.answers import Answers
    from tasks.predict.columns import Columns
    from tasks.predict.inputs import open_inputs
    from tasks.predict.parts import Parts, quarantine_of
    from tasks.predict.work import answer_all

    inputs, parts = open_inputs(str(source)), Parts(str(out))
    parts.begin({})
    answers = Answers(Columns(model, inputs.schema, None, "stop"), "stop")
    aside = quarantine_of(str(out))
    tally = answer_all(inputs, answers, parts, {}, aside, lambda _done, _all: None)
    parts.clear()
    return tally


def in_memory(rows: int) -> Any:
    """Return scaled rows, as the network takes them."""
    return np.random.default_rng(0).standard_normal((rows, INPUTS), np.float32)


def bare(model: Any, inputs: Any) -> Any:
    """Return a compiled pass over inputs in memory, batch by batch, and nothing else."""
    import tensorflow as tf

    network = model.bundle.members[0].network._network
    shape = tf.TensorSpec((None, INPUTS), tf.float32)
    forward = tf.function(lambda batch: network(batch, training=False), input_signature=[shape])

    def go() -> None:
        for start in range(0, len(inputs), BATCH):
            forward(inputs[start : start + BATCH]).numpy()

    return go


def compare(hidden: tuple[int, ...], folder: Path, rows: int, rounds: int) -> dict[str, float]:
    """Return the best of several rounds of both, in rows per second, and where time went."""
    source, out = folder / "rows.parquet", folder / "out.parquet"
    write(source, rows)
    model, inputs = answering(contract(hidden)), in_memory(rows)
    forward = bare(model, inputs)
    forward()
    stream(model, source, out)
    alone, whole, seconds = [], [], {}
    for _ in range(rounds):
        start = time.perf_counter()
        forward()
        middle = time.perf_counter()
        tally = stream(model, source, out)
        alone.append(rows / (middle - start))
        whole.append(rows / (time.perf_counter() - middle))
        if whole[-1] == max(whole):
            seconds = dict(tally.clock.seconds)
    ratios = sorted(b / a for a, b in zip(alone, whole, strict=True))
    shares = {f"{name}_share": s / sum(seconds.values()) for name, s in seconds.items()}
    best = {"forward": max(alone), "predict": max(whole), "ratio": max(whole) / max(alone)}
    return best | {"least": ratios[0], "middle": ratios[len(ratios) // 2]} | shares


def peak(folder: Path, rows: int) -> float:
    """Return the most memory in MB of this process, after it predicted rows of a file."""
    source = folder / f"{rows}.parquet"
    write(source, rows)
    stream(answering(contract(NARROW)), source, folder / f"{rows}.out.parquet")
    source.unlink()
    return peak_bytes() / 1e6


def measure(quick: bool) -> Figures:
    """Measure both networks round by round, and the memory of two numbers of rows."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rounds, scale = (3, 1) if quick else (5, 4)
    sizes = (250_000 * scale, 1_000_000 * scale)
    with tempfile.TemporaryDirectory(prefix="prediction-") as name:
        folder = Path(name)
        before = os.getloadavg()[0]
        wide = compare(WIDE, folder, 131_072 * scale, rounds)
        narrow = compare(NARROW, folder, 524_288 * scale, rounds)
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
            few, many = (pool.submit(peak, folder, rows).result() for rows in sizes)
    return {
        "load_before": before,
        "throughput_vs_forward": wide["ratio"],
        "throughput_vs_forward_least": wide["least"],
        "throughput_vs_forward_middle": wide["middle"],
        **{f"wide_{k}": v for k, v in wide.items() if k not in ("ratio", "least", "middle")},
        **{f"narrow_{k}": v for k, v in narrow.items()},
        f"peak_mb_of_{sizes[0]}_rows": few,
        f"peak_mb_of_{sizes[1]}_rows": many,
    }


if __name__ == "__main__":
    run(measure, "Batch prediction of a Parquet file, against a bare compiled forward pass")
