"""Trains one network on one device and over two virtual ones; prints the curves as JSON.

KERAS_BACKEND=jax python -m tests.spread_training none data model
"""

import json
import os
from argparse import ArgumentParser

TRAINING = {way: {"parallel": way} for way in ("none", "data", "model")}
TRAINING["forget"] = {"rematerialize": True}
TRAINING["parted"] = {"accumulate": 4}
TRAINING["both"] = {"accumulate": 2, "parallel": "data"}


def two_devices() -> None:
    """Make two devices of the CPU."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", 2)
        return
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)


def main(ways: list[str], batch_size: int) -> None:
    """Train in each of the ways, with a batch of so many rows for all devices together."""
    two_devices()
    from tasks.backends import backend

    machine = backend()
    import keras
    import numpy as np

    from tasks.learning.fitting import fit_network
    from tasks.learning.shards import Arrays
    from tests.builders import plain_layout, small_contract

    class Spread(keras.callbacks.Callback):  # type: ignore[misc]
        """Notes on how many devices the first kernel lies, and how wide it is on the first."""

        found: tuple[int, int]

        def on_train_end(self, logs: object = None) -> None:
            kernel = self.model.network.get_layer("hidden_0").kernel.value
            shards = getattr(kernel, "addressable_shards", None)
            parts = [s.data for s in shards] if shards else getattr(kernel, "values", [kernel])
            self.found = (len(parts), int(parts[0].shape[-1]))

    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 5)).astype("f")
    targets = np.sin(inputs @ random.normal(size=(5, 2))).astype("f")
    targets[::7, 0] = np.nan
    weight = random.uniform(0.5, 2, len(inputs)).astype("f")
    train, validation = (
        Arrays(inputs[part], targets[part], weight[part]) for part in (slice(450), slice(450, 600))
    )
    recipe = {"architecture": "shared", "hidden": [16, 8], "epochs": 4, "batch_size": batch_size}
    recipe |= {"learning_rate": 0.01, "l2": 1e-4, "schedule": "cosine", "averaging": "ema"}
    found = {}
    for way in ways:
        contract = small_contract(recipe=recipe, training=TRAINING[way])
        seen = Spread()
        network, curve = fit_network(
            contract, plain_layout(train), train, validation, None, machine, [seen]
        )
        answers = np.asarray(network(validation.inputs[:3]))
        found[way] = {
            "loss": curve.loss, "val_loss": curve.val_loss, "spread": seen.found,
            "answers": answers.tolist(),
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    options = ArgumentParser(description=__doc__)
    options.add_argument("ways", nargs="+")
    options.add_argument("--batch-size", type=int, default=64)
    chosen = options.parse_args()
    main(chosen.ways, chosen.batch_size)
