"""Runs of training in processes of their own, to be killed: `begin`, and what they leave."""

import json
import multiprocessing
import os
import sys
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from tests.builders import plain_layout, small_contract

ADAM = {
    "architecture": "shared", "hidden": [8], "dropout": 0.2, "input_noise": 0.1,
    "averaging": "ema", "schedule": "plateau", "optimizer": "adam", "patience": 30,
}  # fmt: skip
STOPPED = {
    "architecture": "shared", "hidden": [8], "learning_rate": 0.02, "patience": 12,
    "target_weights": "gradnorm", "dropout": 0.1,
}  # fmt: skip
MEAN = {
    "architecture": "shared", "hidden": [8], "averaging": "swa", "schedule": "one_cycle",
    "optimizer": "adamw", "weight_decay": 0.1, "normalization": "batch", "dropout": 0.1,
}  # fmt: skip
JOINT = {"architecture": "cvae", "hidden": [8], "latent": 2, "coder_width": 8, "warm_up": 5}
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "adam": (ADAM, False),
    "stopped": (STOPPED, False),
    "mean": (MEAN, True),
    "joint": (JOINT, False),
}
"""Recipes, and whether their rows come from disk."""


def begin(case: str, folder: Path, epochs: int = 30) -> BaseProcess:
    """Start training of a case, or go on with it, in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "begun").unlink(missing_ok=True)
    context = multiprocessing.get_context("forkserver")
    # What takes long to import is there before any process is made.
    context.set_forkserver_preload(["tests.surviving", "tests.test_epochs"])
    process = context.Process(target=train, args=(case, folder, epochs))
    process.start()
    return process


def train(case: str, folder: Path, epochs: int, filled: bool = False) -> None:
    """Train as a case says, with a checkpoint after every call of a few steps.

    `filled`: the disk is full from the fourth epoch on, the first time.
    """
    os.environ["POLYCAST_HOME"] = str(folder / "home")
    import logging

    import keras

    from tasks import checkpoints
    from tasks.backends import backend
    from tasks.learning import epochs as loop
    from tasks.learning import feeding
    from tasks.learning.fitting import fit_network
    from tests.test_epochs import TRAIN, VALIDATION

    class Begun(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            (folder / "begun").touch()
            if filled and epoch == 3 and not (folder / "full").exists():
                fill(folder)

    where: Any = {"stream": sys.stderr} if filled else {"filename": folder / "log"}
    logging.basicConfig(level=logging.INFO, **where)
    checkpoints.SECONDS = checkpoints.PATIENCE = 0.0
    loop.WORK = 6 * 80 * 5 * 10
    feeding.STRETCH = 10
    recipe, from_disk = CASES[case]
    contract = small_contract(recipe=recipe | {"epochs": epochs, "batch_size": 5})
    rows: Any = TRAIN
    if from_disk:
        file = folder / "rows.f32"
        TRAIN.matrix.tofile(file)
        rows = feeding.OnDisk(file, len(TRAIN.weight), TRAIN, most=60)
    network, curve = fit_network(
        contract, plain_layout(TRAIN), rows, VALIDATION, None, backend(), [Begun()],
        checkpoints.Checkpoints("small/whole"),
    )  # fmt: skip
    found = [np.asarray(w).tobytes().hex() for w in network.get_weights()]
    (folder / "draft").write_text(json.dumps([found, curve.loss, curve.val_loss]), "utf-8")
    (folder / "draft").replace(folder / "result")


def result(folder: Path) -> Any:
    """Return weights, to the bit, and losses."""
    return json.loads((folder / "result").read_text("utf-8"))


def fill(folder: Path) -> None:
    """Take all room that is left on a folder's disk but a few bytes."""
    (folder / "full").touch()
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), 6, filled=True)
