"""The loop over epochs: the compiled one takes the steps that Keras takes one by one."""

import logging
from typing import Any

import keras
import numpy as np
import pytest

from tasks.backends import backend
from tasks.learning import epochs as loop
from tasks.learning.epochs import Budget, Compiler, run_epochs
from tasks.learning.feeding import Held, order_of
from tasks.learning.fitting import fit_network
from tasks.learning.losses import TargetLosses
from tasks.learning.shards import Arrays
from tasks.learning.trainee import Trainee
from tests.builders import plain_layout, small_contract


def arrays(seed: int, count: int) -> Arrays:
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(count, 3)).astype(np.float32)
    targets = np.stack([inputs.sum(1), inputs[:, 0] * inputs[:, 1]], axis=1).astype(np.float32)
    targets[draw.random(targets.shape) < 0.2] = np.nan
    return Arrays(inputs, targets, draw.uniform(0.5, 2, count).astype(np.float32))


TRAIN, VALIDATION = arrays(0, 107), arrays(1, 33)


def fitted(compiler: Compiler | None, *callbacks: Any, **options: Any) -> tuple[Any, Any]:
    """Train with a last batch that is smaller than the rest."""
    recipe = {"architecture": "shared", "hidden": [8], "epochs": 3, "batch_size": 25} | options
    contract = small_contract(recipe=recipe)
    network, curve = fit_network(
        contract, plain_layout(TRAIN), TRAIN, VALIDATION, None, compiler, callbacks
    )
    return network.get_weights(), curve


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw", "weight_decay": 0.1, "clip_norm": 0.5, "schedule": "one_cycle"},
        {"target_weights": "learned", "l2": 0.01, "averaging": "ema", "normalization": "batch"},
        {"averaging": "swa", "dropout": 0.2, "schedule": "plateau", "optimizer": "sgd"},
    ],
)
def test_a_compiled_epoch_takes_the_steps_that_keras_takes(options: dict[str, Any]) -> None:
    alone, together = (fitted(compiler, **options) for compiler in (None, backend()))
    np.testing.assert_allclose(together[1].loss, alone[1].loss, rtol=1e-4)
    np.testing.assert_allclose(together[1].val_loss, alone[1].val_loss, rtol=1e-4)
    for found, wanted in zip(together[0], alone[0], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_from_compiled_epochs() -> None:
    first, second = (fitted(backend(), dropout=0.2)[0] for _ in range(2))
    assert [w.tobytes() for w in first] == [w.tobytes() for w in second]


def test_an_epoch_cut_into_calls_takes_the_same_steps_to_the_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"dropout": 0.2, "batch_size": 5}
    whole, curve = fitted(backend(), **options)
    monkeypatch.setattr(loop, "WORK", 1.0)
    cut, parted = fitted(backend(), **options)
    assert [w.tobytes() for w in cut] == [w.tobytes() for w in whole]
    assert parted.loss == pytest.approx(curve.loss)


def test_the_order_of_an_epoch_is_its_own_and_found_again() -> None:
    first = order_of((7, 0), 50)
    assert sorted(first) == list(range(50))
    np.testing.assert_array_equal(order_of((7, 0), 50), first)
    for other in (order_of((7, 1), 50), order_of((8, 0), 50)):
        assert (other != first).any()


def test_a_callback_that_asks_for_batches_is_called_every_few_steps() -> None:
    class Batches(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append((batch, (logs or {})["loss"]))

    seen: list[tuple[int, float]] = []
    _, curve = fitted(backend(), Batches(), batch_size=2, epochs=1)
    assert [batch for batch, _ in seen] == [31, 53]
    assert curve.loss[0] == pytest.approx((64 * seen[0][1] + 43 * seen[1][1]) / 107)


def test_a_callback_may_stop_within_an_epoch() -> None:
    class Stops(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    class Counts(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_end(self, logs: Any = None) -> None:
            steps.append(int(keras.ops.convert_to_numpy(self.model.steps)))

    steps: list[int] = []
    fitted(backend(), Stops(), Counts(), batch_size=2, epochs=2)
    assert steps == [32]


def small_trainee(kind: type[Trainee], **options: Any) -> Trainee:
    keras.utils.set_random_seed(0)
    entry = keras.Input((3,))
    network = keras.Model(entry, keras.layers.Dense(2)(entry), name="small")
    trainee = kind(network, TargetLosses(("a", "b"), ["mse", "mse"], [0.5, 0.5]))
    trainee.compile(optimizer=keras.optimizers.SGD(0.01), **options)
    return trainee


def losses(trainee: Trainee) -> list[float]:
    budget = Budget(epochs=2, batch_size=25, seed=0)
    return run_epochs(trainee, Held(TRAIN), Held(VALIDATION), budget, (), backend())["loss"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles all or nothing")
def test_what_xla_cannot_compile_is_trained_without_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import tensorflow as tf

    class Odd(Trainee):
        def losses_of(self, inputs: Any, truth: Any, output: Any, training: bool) -> Any:
            kinds = tf.strings.length(tf.strings.as_string(inputs[0, 0]))
            return super().losses_of(inputs, truth, output, training) + 0 * tf.cast(
                kinds, "float32"
            )

    caplog.set_level(logging.WARNING, "polycast")
    found = losses(small_trainee(Odd, jit_compile=True))
    assert found == pytest.approx(losses(small_trainee(Trainee, jit_compile=True)), rel=1e-5)
    told = [r.getMessage() for r in caplog.records if "XLA cannot compile" in r.getMessage()]
    assert len(told) == 2  # Training, and validation.
    assert "the network small" in told[0]


def test_what_is_not_to_be_compiled_takes_its_steps_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "polycast")
    found = losses(small_trainee(Trainee, run_eagerly=True, jit_compile=False))
    assert found == pytest.approx(losses(small_trainee(Trainee, jit_compile=True)), rel=1e-5)
    assert [r.getMessage() for r in caplog.records if "one by one" in r.getMessage()] == [
        "the network small is not to be compiled: its steps are taken one by one"
    ]
