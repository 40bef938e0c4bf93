"""Those that training is measured against, and ours: each trains the same network on the same rows.

Every one lives in a process of its own, since two backends of Keras do not go into one.
"""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.compiled import keep_compiled
from tests.benchmarks.harness import peak_bytes

INPUTS, TARGETS, BATCH, SMALL_BATCH = 100, 20, 1024, 32
NARROW, WIDE = (128, 64), (1024, 1024, 1024, 1024)
RATES = {BATCH: 4e-3, SMALL_BATCH: 1e-3}
"""Step sizes of Adam by batch size, for the narrow network."""
WIDE_RATE = 1e-4

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """A network, its rows, and where rows on disk lie."""

    hidden: tuple[int, ...]
    rows: int
    batch: int = BATCH
    file: str = ""
    """A file of the rows, for the trainer that reads them from disk."""
    at_once: int = 0
    """How many rows of it are in memory at once."""

    @property
    def rate(self) -> float:
        return RATES[self.batch] if self.hidden == NARROW else WIDE_RATE


def make(rows: int, seed: int) -> Matrix:
    """Return inputs, targets and weight side by side; the targets are a function with noise."""
    first = np.random.default_rng(0).standard_normal((INPUTS, 32), np.float32) / 10
    last = np.random.default_rng(1).standard_normal((32, TARGETS), np.float32) / 6
    draw = np.random.default_rng(seed + 2)
    inputs = draw.standard_normal((rows, INPUTS), np.float32)
    noise = 0.1 * draw.standard_normal((rows, TARGETS), np.float32)
    targets = np.tanh(inputs @ first) @ last + noise
    return np.column_stack([inputs, targets, np.ones(rows, np.float32)])


class Keras:
    """Plain `model.fit`."""

    def __init__(self, task: Task) -> None:
        import keras

        whole = make(task.rows, 0)
        self.x, self.y = whole[:, :INPUTS].copy(), whole[:, INPUTS:-1].copy()
        layers = [keras.layers.Dense(width, activation="relu") for width in task.hidden]
        self.model = keras.Sequential(
            [keras.Input((INPUTS,)), *layers, keras.layers.Dense(TARGETS)]
        )
        self.model.compile(optimizer=keras.optimizers.Adam(task.rate), loss="mse")
        self.batch = task.batch

    def epoch(self) -> None:
        self.model.fit(self.x, self.y, batch_size=self.batch, verbose=0)

    def answer(self, inputs: Matrix) -> Any:
        return self.model.predict(inputs, batch_size=8192, verbose=0)


class Torch:
    """The usual loop over shuffled batches of tensors in memory."""

    def __init__(self, task: Task) -> None:
        import torch

        torch.manual_seed(0)
        whole = torch.from_numpy(make(task.rows, 0))
        self.x, self.y = whole[:, :INPUTS].contiguous(), whole[:, INPUTS:-1].contiguous()
        widths, layers = (INPUTS, *task.hidden), []
        for before, after in zip(widths, task.hidden, strict=False):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], TARGETS))
        self.optimizer = torch.optim.Adam(self.model.parameters(), task.rate)
        self.torch, self.batch = torch, task.batch

    def epoch(self) -> None:
        order = self.torch.randperm(len(self.x))
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            gap = self.model(self.x[chosen]) - self.y[chosen]
            self.optimizer.zero_grad()
            (gap**2).mean().backward()
            self.optimizer.step()

    def answer(self, inputs: Matrix) -> Any:
        with self.torch.no_grad():
            return self.model(self.torch.from_numpy(inputs)).numpy()


class Ours:
    """What `train` does in an epoch, from memory or from disk."""

    def __init__(self, task: Task) -> None:
        from data_contracts.contract import Contract
        from tasks.backends import backend

        machine = backend()
        import keras

        from tasks.learning.feeding import Held, OnDisk, Rows
        from tasks.learning.layout import Block, Layout, Output
        from tasks.learning.networks import architecture
        from tasks.learning.optimizers import optimizer
        from tasks.learning.shards import of_matrix

        whole = make(min(task.rows, 4096) if task.file else task.rows, 0)
        held = Held(of_matrix(whole, INPUTS))
        self.rows: Rows = held
        if task.file:
            self.rows = OnDisk(Path(task.file), task.rows, held.some, task.at_once)
        outputs = tuple(Output(f"y{i}") for i in range(TARGETS))
        layout = Layout((Block("numeric", 0, INPUTS),), outputs, held.some)
        recipe = _contract(Contract, task).recipe
        keras.utils.set_random_seed(0)
        kind = architecture("shared")
        self.trainee = kind.trainee(kind.build(recipe, layout), recipe, layout)
        self.trainee.compile(optimizer=optimizer(recipe, 1), jit_compile=True)
        self.trainee(whole[:2, :INPUTS])
        self.trainee.optimizer.build(self.trainee.trainable_variables)
        self.step = machine.stepping(self.trainee, task.batch, INPUTS)
        self.place, self.batch, self.done = machine.resident, task.batch, 0

    def epoch(self) -> None:
        for block, order in self.rows.blocks(self.place, self.batch, (0, self.done)):
            self.step(block, order)
        self.done += 1

    def answer(self, inputs: Matrix) -> Any:
        return self.trainee.network.predict(inputs, batch_size=8192, verbose=0)


def _contract(kind: Any, task: Task) -> Any:
    recipe = {"architecture": "shared", "hidden": list(task.hidden), "batch_size": task.batch}
    return kind.model_validate(
        {
            "format": 1,
            "dataset": "rows",
            "source": {"kind": "parquet", "path": "rows.parquet"},
            "key": ["id"],
            "features": {f"x[{INPUTS}]": {}},
            "targets": {f"y[{TARGETS}]": {"unit": "m"}},
            "split": {"kind": "random"},
            "recipe": recipe | {"learning_rate": task.rate},
        }
    )


TRAINERS: dict[str, Any] = {"keras": Keras, "torch": Torch, "ours": Ours}
_made: dict[str, Any] = {}


def start(kind: str, environment: dict[str, str], task: Task) -> float:
    """Make this process's trainer and take a first epoch; return the seconds of both."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    begun = time.perf_counter()
    if kind == "ours":
        keep_compiled()
    _made["trainer"], _made["task"] = TRAINERS[kind](task), task
    _made["trainer"].epoch()
    return time.perf_counter() - begun


def epoch() -> tuple[float, float]:
    """Take an epoch; return its seconds, by the clock and of all this process's threads.

    Rows on disk are not left in memory from the epoch before.
    """
    file = _made["task"].file
    if file:
        with open(file, "rb") as source:
            os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun, busy = time.perf_counter(), time.process_time()
    _made["trainer"].epoch()
    return time.perf_counter() - begun, time.process_time() - busy


def loss() -> float:
    """Return the mean squared error on rows that nobody trains on."""
    unseen = make(20_000, 1)
    inputs = np.ascontiguousarray(unseen[:, :INPUTS])
    return float(np.mean((_made["trainer"].answer(inputs) - unseen[:, INPUTS:-1]) ** 2))


def cap(extra: int | None) -> None:
    """Let this process have so many more bytes of data than it has, and no more; None: any."""
    words = Path("/proc/self/status").read_text("utf-8").split()
    data = int(words[words.index("VmData:") + 1]) * 1024
    most = resource.RLIM_INFINITY if extra is None else data + extra
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


def peak() -> float:
    """Return the most memory in MB that this process had."""
    return peak_bytes() / 1e6


def product_rate(side: int) -> float:
    """Return the floating-point operations per second of one product of two square matrices."""
    if "torch" in type(_made["trainer"]).__name__.lower():
        import torch

        a, multiply = torch.rand(side, side), torch.matmul
    else:
        a, multiply = np.random.default_rng(0).random((side, side), np.float32), np.matmul
    begun = time.perf_counter()
    multiply(a, a)
    return 2 * side**3 / (time.perf_counter() - begun)
