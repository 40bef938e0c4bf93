"""Optimizers, schedules, averaging, weights of targets, regularization: each seen to work."""

from typing import Any, get_args

import keras
import numpy as np
import pytest

from data_contracts.recipes.base import BaseRecipe
from tasks.backends import backend
from tasks.learning.errors import Diverged
from tasks.learning.fitting import fit_network
from tasks.learning.layout import Layout, Output
from tasks.learning.optimizers import Scheduled, optimizer
from tasks.learning.shards import Arrays
from tasks.learning.target_weights import GradNorm, part_weights, shared_kernel
from tests.builders import plain_layout, small_contract


def arrays(seed: int, count: int = 256) -> Arrays:
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(count, 4)).astype(np.float32)
    targets = np.stack([inputs.sum(1), inputs[:, 0] * inputs[:, 1]], axis=1).astype(np.float32)
    return Arrays(inputs, targets, np.ones(count, np.float32))


TRAIN, VALIDATION = arrays(0), arrays(1)


def trained(layout: Layout | None = None, **options: Any) -> tuple[keras.Model, Any]:
    recipe = {"architecture": "shared", "hidden": [16], "epochs": 4, "batch_size": 32}
    contract = small_contract(recipe=recipe | {"learning_rate": 0.01} | options)
    layout = layout or plain_layout(TRAIN)
    return fit_network(contract, layout, TRAIN, VALIDATION, None, backend())


def kernel(network: keras.Model, name: str = "hidden_0") -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(network.get_layer(name).kernel))


def choices(option: str) -> tuple[str, ...]:
    return get_args(BaseRecipe.model_fields[option].annotation)


@pytest.mark.parametrize("name", choices("optimizer"))
def test_every_optimizer_learns(name: str) -> None:
    _, curve = trained(optimizer=name, weight_decay=1e-3, clip_norm=1.0)
    assert curve.val_loss[-1] < 0.9 * curve.val_loss[0]


@pytest.mark.parametrize("kind", choices("schedule"))
def test_every_schedule_learns(kind: str) -> None:
    _, curve = trained(schedule=kind)
    assert curve.val_loss[-1] < curve.val_loss[0]


def rates(kind: str, *done: float) -> list[float]:
    schedule = Scheduled(kind, 2.0, 15_000)
    found = (float(keras.ops.convert_to_numpy(schedule(round(d * 15_000)))) for d in done)
    return [round(v, 3) for v in found]


def test_schedules_rise_and_fall_where_they_say() -> None:
    assert rates("cosine", 0, 0.5, 1, 2) == [2, 1, 0, 0]
    assert rates("warm_up", 0, 0.025, 0.05, 1) == [0, 1, 2, 0]
    assert rates("one_cycle", 0, 0.3, 0.65, 1) == [0.08, 2, 1, 0]
    # Each cycle starts and ends at nothing; the last one takes the second half.
    assert rates("cosine_log", 0, 1 / 15, 3 / 15, 7 / 15, 1) == [0, 0, 0, 0, 0]
    assert rates("cosine_log", 0.0276) == [2.0]


def test_a_schedule_is_rebuilt_from_its_config() -> None:
    schedule = Scheduled("one_cycle", 0.1, 10)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config()


def test_plateau_lowers_the_step_size_when_nothing_gets_better() -> None:
    recipe = small_contract(recipe={"architecture": "shared", "schedule": "plateau"}).recipe
    assert float(keras.ops.convert_to_numpy(optimizer(recipe, 10).learning_rate)) > 0
    opposite = Arrays(VALIDATION.inputs, -VALIDATION.targets, VALIDATION.weight)
    options = {"architecture": "shared", "hidden": [8], "epochs": 12, "learning_rate": 0.01}
    seen: list[float] = []

    class Seen(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(float((logs or {})["learning_rate"]))

    contract = small_contract(recipe=options | {"schedule": "plateau", "patience": 6})
    fit_network(contract, plain_layout(TRAIN), TRAIN, opposite, callbacks=[Seen()])
    assert seen[-1] < seen[0]


def test_the_mean_over_epochs_is_what_is_validated_and_kept() -> None:
    options = {"epochs": 6, "patience": 10, "learning_rate": 0.05, "optimizer": "sgd"}
    ends: list[np.ndarray] = []

    class Ends(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            ends.append(kernel(self.model.network))

    recipe = {"architecture": "shared", "hidden": [16], "batch_size": 32} | options
    plain, mean = (small_contract(recipe=recipe | {"averaging": kind}) for kind in ("none", "swa"))
    layout = plain_layout(TRAIN)
    fit_network(plain, layout, TRAIN, VALIDATION, callbacks=[Ends()])
    network, curve = fit_network(mean, layout, TRAIN, VALIDATION)
    assert curve.best_epoch > 3
    wanted = np.mean(ends[3 : curve.best_epoch], axis=0)
    np.testing.assert_allclose(kernel(network), wanted, rtol=1e-4, atol=1e-6)


def test_the_average_over_steps_lags_behind_the_weights() -> None:
    start = kernel(trained(epochs=1, learning_rate=1e-9)[0])
    moved = [np.abs(kernel(trained(averaging=a)[0]) - start).sum() for a in ("none", "ema")]
    assert 0 < moved[1] < moved[0]


def test_penalties_and_decay_make_weights_smaller() -> None:
    size = np.abs(kernel(trained()[0])).sum()
    for options in ({"l1": 0.1}, {"l2": 0.1}, {"optimizer": "adamw", "weight_decay": 10.0}):
        assert np.abs(kernel(trained(**options)[0])).sum() < 0.9 * size


def test_decay_touches_kernels_alone() -> None:
    recipe = {"architecture": "shared", "optimizer": "adamw", "weight_decay": 0.5}
    made = optimizer(small_contract(recipe=recipe).recipe, 10)
    names = ("kernel", "bias", "gamma", "entry_scale", "log_variance")
    weights = [keras.Variable(np.zeros(2), name=name) for name in names]
    assert [w.name for w in weights if made._use_weight_decay(w)] == ["kernel"]


def test_dropout_and_noise_work_in_training_alone() -> None:
    for options in ({"dropout": 0.4}, {"input_noise": 0.5}):
        network, _ = trained(**options)
        first, second = (network(TRAIN.inputs, training=t) for t in (True, True))
        assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0.01
        first, second = (network(TRAIN.inputs, training=False) for _ in range(2))
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_a_clipped_step_is_a_small_one() -> None:
    options = {"optimizer": "sgd", "epochs": 1, "batch_size": 256, "learning_rate": 0.1}
    start = kernel(trained(**options | {"learning_rate": 1e-12})[0])
    free, clipped = (
        np.linalg.norm(kernel(trained(**options, clip_norm=c)[0]) - start) for c in (None, 0.01)
    )
    assert clipped <= 0.1 * 0.01 * 1.9 + 1e-6 < free


def test_weights_by_inverse_variance_make_scales_alike() -> None:
    wide = Arrays(TRAIN.inputs, TRAIN.targets * np.array([10, 1], "f"), TRAIN.weight)
    found = part_weights("inverse_variance", plain_layout(wide), 2)
    variance = wide.targets.var(axis=0)
    assert found[1] / found[0] == pytest.approx(variance[0] / variance[1], rel=1e-4)
    assert found.mean() == pytest.approx(1)


def test_a_loss_weight_counts() -> None:
    outputs = (Output("a", weight=1.0), Output("b", weight=30.0))
    layout = Layout(plain_layout(TRAIN).inputs, outputs, TRAIN)
    gaps = []
    for own in (plain_layout(TRAIN), layout):
        network, _ = trained(own, epochs=10)
        error = network.predict(VALIDATION.inputs, verbose=0) - VALIDATION.targets
        gaps.append((error**2).mean(axis=0))
    assert gaps[1][1] < gaps[0][1]


def test_learned_weights_find_the_noisier_target() -> None:
    draw = np.random.default_rng(3)
    noise = draw.normal(size=TRAIN.targets.shape) * [0.0, 2.0]
    noisy = Arrays(TRAIN.inputs, (TRAIN.targets + noise).astype("f"), TRAIN.weight)
    found: list[np.ndarray] = []

    class Levels(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            found.append(np.asarray(keras.ops.convert_to_numpy(self.model.log_variance)))

    recipe = {"architecture": "shared", "target_weights": "learned", "learning_rate": 0.02}
    contract = small_contract(recipe=recipe | {"epochs": 40, "batch_size": 32, "patience": 40})
    fit_network(contract, plain_layout(noisy), noisy, VALIDATION, callbacks=[Levels()])
    assert found[-1][1] > found[-1][0] + 0.5


def test_gradients_agree_with_differences() -> None:
    variable = keras.Variable(np.array([[1.0, 2.0], [3.0, 4.0]], "f"))

    def parts() -> Any:
        value = keras.ops.convert_to_tensor(variable)
        return keras.ops.stack([keras.ops.sum(value**2), value[0, 0] * value[1, 1]])

    found = backend().gradients(parts, variable)
    np.testing.assert_allclose(found, [[[2, 4], [6, 8]], [[4, 0], [0, 1]]])


def test_gradnorm_favours_the_target_that_lags_behind() -> None:
    network, _ = trained(epochs=1)
    from tasks.learning.networks import architecture

    recipe = small_contract(recipe={"architecture": "shared", "hidden": [16]}).recipe
    trainee = architecture("shared").trainee(network, recipe, plain_layout(TRAIN))
    balance = GradNorm(TRAIN, shared_kernel(network), backend().gradients, seed=0)
    balance.set_model(trainee)
    balance.on_epoch_end(0)
    balance.first = balance.first * [10.0, 1.0]  # Target a has come much further than b.
    trainee.part_weights.assign(np.ones(2, "f"))
    balance.on_epoch_end(1)
    weights = np.asarray(keras.ops.convert_to_numpy(trainee.part_weights))
    assert weights[1] > 1 > weights[0]


def test_every_way_of_weighing_learns() -> None:
    for kind in ("fixed", "inverse_variance", "learned", "gradnorm"):
        _, curve = trained(target_weights=kind, epochs=6)
        assert curve.val_loss[-1] < 0.7 * curve.val_loss[0], kind


def test_gradnorm_without_gradients_is_told() -> None:
    contract = small_contract(recipe={"architecture": "shared", "target_weights": "gradnorm"})
    with pytest.raises(ValueError, match="gradnorm needs the backend's gradients"):
        fit_network(contract, plain_layout(TRAIN), TRAIN, VALIDATION)


def test_a_run_that_breaks_keeps_the_last_good_weights() -> None:
    told: list[int] = []

    class Breaks(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                bias = self.model.network.get_layer("targets").bias
                bias.assign(np.array([0.0, np.inf], "f"))

    contract = small_contract(
        recipe={"architecture": "shared", "hidden": [8], "epochs": 5, "batch_size": 64}
    )
    with pytest.raises(Diverged, match=r"loss of b is no number at step 9, in epoch 3") as found:
        fit_network(
            contract, plain_layout(TRAIN), TRAIN, VALIDATION, lambda e, *_: told.append(e),
            callbacks=[Breaks()],
        )  # fmt: skip
    assert told == [1, 2]
    assert found.value.good_epoch == 2
    network = found.value.network
    assert np.isfinite(network.predict(TRAIN.inputs, verbose=0)).all()


def test_rows_of_no_weight_say_nothing_of_the_weights_of_targets() -> None:
    wild = TRAIN.targets.copy()
    wild[:50, 0] = 1e3
    weight = (np.arange(len(wild)) >= 50).astype("f")
    spoiled = Arrays(TRAIN.inputs, wild, weight)
    plain = Arrays(TRAIN.inputs[50:], TRAIN.targets[50:], weight[50:])
    found = [part_weights("inverse_variance", plain_layout(a), 2) for a in (spoiled, plain)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_no_epoch_before_the_mean_over_epochs_starts_is_kept() -> None:
    # The validation rows say the opposite of the train rows: the first epochs are the best.
    opposite = Arrays(VALIDATION.inputs, -VALIDATION.targets, VALIDATION.weight)
    recipe = {"architecture": "shared", "hidden": [8], "epochs": 8, "patience": 2}
    contract = small_contract(recipe=recipe | {"averaging": "swa", "learning_rate": 0.01})
    _, curve = fit_network(contract, plain_layout(TRAIN), TRAIN, opposite)
    assert len(curve.loss) > 4
    assert curve.best_epoch > 4
    assert curve.best_loss == min(curve.val_loss[4:])


@pytest.mark.parametrize("name", ["shared", "multi_head", "independent", "ensemble", "mixture"])
def test_muon_steps_no_weight_but_kernels_of_hidden_layers(name: str) -> None:
    from tasks.learning.networks import architecture

    recipe = {"architecture": name, "optimizer": "muon", "hidden": [8, 8]}
    recipe |= {"head_hidden": [4]} if name == "multi_head" else {}
    contract = small_contract(recipe=recipe)
    layout, kind = plain_layout(TRAIN), architecture(name)
    trainee = kind.trainee(kind.build(contract.recipe, layout), contract.recipe, layout)
    made = optimizer(contract.recipe, 10)
    made.build(trainee.trainable_variables)
    by_muon = [v.path for v in trainee.trainable_variables if not made._should_use_adamw(v)]
    assert all(path.endswith("/kernel") and "hidden_" in path for path in by_muon)
    assert bool(by_muon) == (name != "independent")  # Its kernels are no matrices.


def test_gradnorm_without_a_shared_layer_is_told() -> None:
    entry = keras.Input((2,))
    with pytest.raises(ValueError, match=r"named hidden_<number>; the layers are .*only"):
        shared_kernel(keras.Model(entry, keras.layers.Dense(1, name="only")(entry)))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_of_the_bits_train_a_network_that_answers_with_all(precision: str) -> None:
    recipe = {"architecture": "shared", "hidden": [16], "epochs": 6, "batch_size": 32}
    recipe |= {"learning_rate": 0.01, "schedule": "plateau"}
    contract = small_contract(recipe=recipe, training={"precision": precision})
    seen: list[str] = []

    class Seen(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_end(self, logs: Any = None) -> None:
            seen.append(self.model.network.get_layer("hidden_0").compute_dtype)

    network, curve = fit_network(
        contract, plain_layout(TRAIN), TRAIN, VALIDATION, None, backend(), [Seen()]
    )
    assert seen == [precision.removeprefix("mixed_")]
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    error = network.predict(VALIDATION.inputs, verbose=0) - VALIDATION.targets
    assert curve.best_loss < 0.5 * curve.val_loss[0]
    assert np.mean(error**2) == pytest.approx(curve.best_loss, rel=0.05)
