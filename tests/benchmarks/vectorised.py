"""What 16 networks of one shape cost that are trained in one call, beside one of them.

python -m tests.benchmarks.vectorised [--quick] [--json FILE]

A network of 100 inputs, layers of 128 and 64, and 20 targets, at batch 256; each network has rows
of its own. Each backend has a process of its own. All are compiled anew each time, and the best
times of all rounds count; `load_*` says how busy the machine was.

- `k16_vs_one_*`: the time of a whole training of 16 over that of one, building and compiling
  included, on 1,000 rows; `k16_vs_one_*_10000_rows` on 10,000.
- `epoch_k16_vs_one_*`: the same of an epoch, once all is compiled. 16 is what the products of
  matrices alone would take, which a network on a CPU waits for already when it is alone; what is
  below is saved between compiled calls.
- `one_*_seconds`, `k16_*_seconds`, `*_epoch_ms`: the times themselves.

Measured on 2 cores that others used too, 30 epochs, TensorFlow and JAX: 2.5 and 2.0 on 1,000 rows,
3.5 and 4.2 on 10,000; of an epoch alone 5.2 and 7.3, and 11.1 and 11.5.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from tests.benchmarks.harness import Figures, run
from tests.benchmarks.trainers import INPUTS, NARROW, make

K, BATCH = 16, 256


def times(rows: int, epochs: int, count: int) -> tuple[float, float]:
    """Return the seconds that training so many networks takes, and those of an epoch of them."""
    from tasks.backends import backend

    machine = backend()
    from tasks.learning.fit_many import fit_many

    ends: list[float] = []
    jobs = [_job(rows, epochs, n, ends) for n in range(count)]
    start = time.perf_counter()
    found = fit_many(jobs, machine)
    whole = time.perf_counter() - start
    assert all(isinstance(f, tuple) for f in found), found
    last = np.reshape(ends, (epochs, count)).max(axis=1)
    return whole, float(np.diff(last)[2:].min())


def _job(rows: int, epochs: int, seed: int, ends: list[float]) -> Any:
    from tasks.learning.feeding import Held
    from tasks.learning.fit_many import Job
    from tasks.learning.shards import of_matrix
    from tests.builders import plain_layout, small_contract

    train, tested = (of_matrix(make(n, seed), INPUTS) for n in (rows, rows // 8))
    recipe = {"architecture": "shared", "hidden": list(NARROW), "batch_size": BATCH}
    recipe |= {"epochs": epochs, "patience": epochs, "seed": seed}
    contract = small_contract(recipe=recipe)

    def tell(epoch: int, loss: float, val_loss: float, losses: Mapping[str, float]) -> None:
        ends.append(time.perf_counter())

    return Job(str(seed), contract, plain_layout(train), Held(train), Held(tested), tell)


def race(backend: str, rows: int, epochs: int, rounds: int) -> Figures:
    """Return the best times of one network and of many, and their ratios."""
    os.environ["KERAS_BACKEND"] = backend
    found = {count: [times(rows, epochs, count) for _ in range(rounds)] for count in (1, K)}
    one, one_epoch = map(min, zip(*found[1], strict=True))
    many, many_epoch = map(min, zip(*found[K], strict=True))
    tail = "" if rows == 1_000 else f"_{rows}_rows"
    return {
        f"k{K}_vs_one_{backend}{tail}": many / one,
        f"epoch_k{K}_vs_one_{backend}{tail}": many_epoch / one_epoch,
        f"one_{backend}{tail}_seconds": one,
        f"k{K}_{backend}{tail}_seconds": many,
        f"one_{backend}{tail}_epoch_ms": 1e3 * one_epoch,
        f"k{K}_{backend}{tail}_epoch_ms": 1e3 * many_epoch,
    }


def measure(quick: bool) -> Figures:
    """Measure all; `quick` takes few epochs and rounds."""
    epochs, rounds = (15, 1) if quick else (50, 3)
    figures: Figures = {"load_before": os.getloadavg()[0]}
    for backend in ("tensorflow", "jax"):
        for rows in (1_000, 10_000):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                figures |= pool.submit(race, backend, rows, epochs, rounds).result()
    return figures | {"load_after": os.getloadavg()[0]}


if __name__ == "__main__":
    run(measure, f"{K} networks that are trained in one call, beside one of them")
