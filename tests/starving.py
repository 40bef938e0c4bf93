"""`python -m tests.starving`: train one batch that memory does not hold, told by a real limit.

Prints the losses of a run whose memory is limited and of one whose memory is not. It is for JAX:
TensorFlow's XLA ends the process on a CPU that has no memory, and raises nothing.
"""

import json
import logging
import resource
import sys
from pathlib import Path

import keras
import numpy as np

from tasks.backends import backend
from tasks.learning.epochs import Budget, run_epochs
from tasks.learning.feeding import Held
from tasks.learning.losses import TargetLosses
from tasks.learning.shards import Arrays
from tasks.learning.trainee import Trainee

ROWS, WIDTH = 200_000, 256
MORE = 500 << 20
"""Bytes that training may take: one copy of all rows' hidden layer, and no more."""


def losses(rows: Arrays, few: Arrays) -> list[float]:
    """Train on one batch of all rows; return the loss of each of three epochs."""
    keras.utils.set_random_seed(0)
    entry = keras.Input((3,))
    hidden = keras.layers.Dense(WIDTH, "relu")(entry)
    network = keras.Model(entry, keras.layers.Dense(2)(hidden), name="wide")
    trainee = Trainee(network, TargetLosses(("a", "b"), ["mse", "mse"], [0.5, 0.5]))
    trainee.compile(optimizer=keras.optimizers.Adam(0.01), jit_compile=True)
    budget = Budget(epochs=3, batch_size=len(rows.weight), seed=0)
    return run_epochs(trainee, Held(rows), Held(few), budget, (), backend())["loss"]


def main() -> None:
    """Train with a limit, then without."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(ROWS, 3)).astype("f")
    rows = Arrays(inputs, inputs[:, :2] * inputs[:, 1:], draw.uniform(0, 2, ROWS).astype("f"))
    few = Arrays(rows.inputs[:400], rows.targets[:400], rows.weight[:400])
    losses(few, few)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + MORE
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    limited = losses(rows, few)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(json.dumps([limited, losses(rows, few)]))


if __name__ == "__main__":
    main()
