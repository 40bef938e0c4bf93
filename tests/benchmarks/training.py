"""How fast training is, beside plain Keras, a PyTorch loop, and what matrix products cost.

python -m tests.benchmarks.training [--quick] [--json FILE]

Each trainer has a process of its own, and they take epochs in turn, so that whatever else the
machine does slows all of them. Rates are rows per second, the best of all rounds; `load_*` says how
busy the machine was. The narrow network has 100 inputs, layers of 128 and 64, and 20 targets; the
wide one 4 layers of 1,024 units.

- `vs_fit32`, `vs_torch`: ours (the better backend, at batch 1024) over plain `model.fit` at batch
  32, and over PyTorch's loop at batch 1024, which is left out where it is not installed.
- `of_bound`, `wide_of_bound`: ours over what 6 floating-point operations per parameter and row
  allow at the rate of large matrix products.
- `disk_vs_memory`: our rate over rows on disk, five times as large as the memory that the process
  may take beyond what it has after a first epoch, over that in memory. What the system keeps of the
  file is dropped before each epoch.
- `*_per_cpu`: rows per second that a core works, which a busy machine changes less.
- `*_seconds_to`: how long each takes to the error that plain fit reaches, compilation left out.
- `*_start`: from the first import to the end of the first epoch, compilation included; and
  `*_start_again` in another process, which finds what the first one compiled.

Measured on 2 quiet cores, by machine (goals in brackets):

                      AMD Zen 4, AVX-512   AMD without   Intel, AVX-512   (goal)
    vs_fit32          32.9                 42            35.8             (25)
    vs_torch          2.08                 2.32          2.02             (2.4, missed)
    of_bound          0.75                 0.57          0.43             (0.6)
    wide_of_bound     0.94                 0.76          0.83             (0.9)
    disk_vs_memory    0.85                 0.84          0.92             (0.85)

On the first, the wide network takes 9,565 rows a second, PyTorch 8,636; 200,000 and 2,000,000 rows
from disk take 1,146 and 1,149 MB. Ours takes 2.5 s to the loss that plain fit takes 34 s for and
PyTorch 2.8 s. To be 2.4 times as fast as PyTorch there would be 0.87 of the bound. The gather of a
batch is a tenth of an epoch: in two halves or with rows padded to whole cache lines it is no
quicker, and wider vectors (`--xla_cpu_prefer_vector_width=512`) change nothing on TensorFlow.

A second Intel with AVX-512: 34.5, 1.79, 0.39, 0.82 (13,715 rows a second, PyTorch 12,668), 0.89.
Products of the narrow network's shapes run at 70 to 220 GFLOP/s there, where large ones do 350:
they alone take 630 of the 910 µs that a bare step in JAX takes. Halves of a batch side by side
take 12 % less; nine other flags of XLA change nothing.
A third, with AVX-512 and AMX: 31.9, 1.89, 0.37, 0.71 (12,280 rows a second, PyTorch 12,297), 0.85;
1,153 and 1,157 MB; 2.9 s to the loss that plain fit takes 51 s for and PyTorch 4.0 s.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.benchmarks import trainers
from tests.benchmarks.harness import Figures, run
from tests.benchmarks.trainers import BATCH, INPUTS, NARROW, SMALL_BATCH, TARGETS, WIDE, Task

OURS = ("ours_tensorflow", "ours_jax")
KINDS = {
    "fit32": ("keras", "tensorflow"),
    "fit1024": ("keras", "tensorflow"),
    "torch": ("torch", "tensorflow"),
    "ours_tensorflow": ("ours", "tensorflow"),
    "ours_jax": ("ours", "jax"),
}
TIMES_LARGER = 5
SCRATCH = 48_000_000
"""Bytes that a process may take in any case: a step of the wide network, whose few rows are not
five times as large, takes 38 MB and gives them back."""


class Process:
    """A trainer in a process of its own."""

    def __init__(self, pool: ProcessPoolExecutor, name: str, task: Task) -> None:
        self.pool, self.name, self.task = pool, name, task
        kind, backend = KINDS[name]
        self.start = self.do(trainers.start, kind, {"KERAS_BACKEND": backend}, task)
        self.rates: list[float] = []
        self.busy_rates: list[float] = []

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return self.pool.submit(work, *arguments).result()

    def epoch(self) -> float:
        seconds, busy = self.do(trainers.epoch)
        self.rates.append(self.task.rows / seconds)
        self.busy_rates.append(self.task.rows / busy)
        return float(seconds)


@contextmanager
def started(tasks: dict[str, Task]) -> Iterator[dict[str, Process]]:
    """Start trainers one after another."""
    with ExitStack() as stack:
        made = {}
        for name, task in tasks.items():
            pool = ProcessPoolExecutor(1, get_context("spawn"))
            made[name] = Process(stack.enter_context(pool), name, task)
        yield made


def names() -> list[str]:
    return [n for n in KINDS if n != "torch" or find_spec("torch")]


def parameters(hidden: tuple[int, ...]) -> int:
    widths = (INPUTS, *hidden, TARGETS)
    return sum((a + 1) * b for a, b in pairwise(widths))


def race(hidden: tuple[int, ...], rows: int, rounds: int, skip: tuple[str, ...] = ()) -> Figures:
    """Return the rates of all trainers that take epochs in turn, and ours of the bound."""
    tasks = {n: Task(hidden, rows) for n in names() if n not in skip}
    if "fit32" in tasks:
        tasks["fit32"] = Task(hidden, rows // 8, SMALL_BATCH)
    products = 0.0
    with started(tasks) as made:
        for _ in range(rounds):
            for process in made.values():
                process.epoch()
                products = max(products, process.do(trainers.product_rate, 2048))
        best = {name: max(process.rates) for name, process in made.items()}
        busy = {f"{name}_per_cpu": max(process.busy_rates) for name, process in made.items()}
        starts = {f"{name}_start": process.start for name, process in made.items()}
    with started({name: tasks[name] for name in OURS}) as again:
        starts |= {f"{name}_start_again": process.start for name, process in again.items()}
    bound = products / (6 * parameters(hidden))
    ours = max(best[name] for name in OURS)
    return {
        **best,
        **busy,
        **starts,
        "bound": bound,
        "of_bound": ours / bound,
        "gflops": products / 1e9,
    }


def to_loss(rows: int, epochs: int) -> Figures:
    """Return the seconds that each trainer takes to the error that `epochs` of plain fit reach."""
    found: Figures = {}
    tasks = {n: Task(NARROW, rows) for n in names()} | {"fit32": Task(NARROW, rows, SMALL_BATCH)}
    wanted = 0.0
    for name, task in tasks.items():
        with started({name: task}) as made:
            process, seconds = made[name], 0.0
            for done in range(epochs if name == "fit32" else 10 * epochs):
                if done:
                    seconds += process.epoch()
                reached = process.do(trainers.loss)
                if name != "fit32" and reached <= wanted:
                    break
            # The first epoch compiles: it counts as long as the others take.
            seconds += process.task.rows / max(process.rates, default=float("inf"))
            wanted = reached if name == "fit32" else wanted
            found |= {f"{name}_seconds_to": seconds, f"{name}_loss": reached}
    return found


def from_disk(hidden: tuple[int, ...], rows: int, rounds: int) -> Figures:
    """Return the rates over rows in memory and on disk, taken in turn, and peak memory."""
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        file = write(Path(folder) / "rows", rows)
        size = 4 * (INPUTS + TARGETS + 1) * rows
        # Two blocks, and one that is let go of as the next is taken.
        capped = Task(hidden, rows, file=str(file), at_once=rows // TIMES_LARGER * 2 // 4)
        with (
            started({"ours_tensorflow": Task(hidden, rows)}) as held,
            started({"ours_tensorflow": capped}) as read,
        ):
            memory, disk = held["ours_tensorflow"], read["ours_tensorflow"]
            disk.do(trainers.cap, max(size // TIMES_LARGER, SCRATCH))
            for _ in range(rounds):
                memory.epoch()
                disk.epoch()
            disk.do(trainers.cap, None)
            losses = [p.do(trainers.loss) for p in (memory, disk)]
    rates = [max(p.rates) for p in (memory, disk)]
    busy = [max(p.busy_rates) for p in (memory, disk)]
    return {
        "disk_vs_memory": rates[1] / rates[0],
        "disk_vs_memory_per_cpu": busy[1] / busy[0],
        "memory": rates[0],
        "disk": rates[1],
        "memory_loss": losses[0],
        "disk_loss": losses[1],
    }


def peaks(rows: int) -> Figures:
    """Return the most memory of training from disk on rows, and on ten times as many."""
    found: Figures = {}
    for count in (rows, 10 * rows):
        with tempfile.TemporaryDirectory(prefix="training-") as folder:
            file = write(Path(folder) / "rows", count)
            task = Task(NARROW, count, file=str(file), at_once=rows // 2)
            with started({"ours_tensorflow": task}) as made:
                found[f"peak_mb_of_{count}_rows"] = made["ours_tensorflow"].do(trainers.peak)
    return found


def write(file: Path, rows: int) -> Path:
    """Write rows as training keeps them on disk."""
    with file.open("wb") as out:
        for part, begin in enumerate(range(0, rows, 100_000)):
            out.write(trainers.make(min(100_000, rows - begin), 100 * part).data)
    return file


def measure(quick: bool) -> Figures:
    """Measure all; `quick` takes few rows and rounds."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="training-") as home:
        # Nothing of an earlier run is found compiled.
        os.environ["POLYCAST_HOME"] = home
        return {"load_before": load} | _measure(quick)


def _measure(quick: bool) -> Figures:
    rows, wide_rows, rounds = (65_536, 4 * BATCH, 3) if quick else (400_000, 16 * BATCH, 6)
    narrow = race(NARROW, rows, rounds)
    wide = race(WIDE, wide_rows, rounds, skip=("fit32",))
    disk = from_disk(NARROW, rows if quick else 5 * rows, rounds)
    ours = max(float(narrow[name]) for name in OURS)
    figures: Figures = {"vs_fit32": ours / float(narrow["fit32"])}
    if "torch" in narrow:
        figures["vs_torch"] = ours / float(narrow["torch"])
    figures |= {"of_bound": narrow["of_bound"], "wide_of_bound": wide["of_bound"]}
    figures |= {**disk, **narrow, **{f"wide_{k}": v for k, v in wide.items()}}
    if not quick:
        wide_disk = from_disk(WIDE, 4 * wide_rows, 2)
        figures["wide_disk_vs_memory"] = wide_disk["disk_vs_memory"]
        figures |= to_loss(rows, 3) | peaks(rows // 2)
    return figures | {"load_after": os.getloadavg()[0]}


if __name__ == "__main__":
    run(measure, "Training, beside plain Keras, a PyTorch loop, and what matrix products cost")
