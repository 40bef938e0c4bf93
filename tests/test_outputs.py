"""Outputs: activations within bounds, shares of one whole, deviations where a loss has one."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tasks.learning.fitting import fit
from tasks.learning.layout import Layout, Output, Shares
from tasks.learning.networks.outputs import Bounded, bounded
from tests.builders import replaced, small_contract, small_rows

WILD = (np.random.default_rng(0).normal(size=(64, 4)) * 1e3).astype("f")


def through(outputs: tuple[Output, ...], raw: np.ndarray, shares: tuple[Shares, ...] = ()) -> Any:
    layout = Layout((), outputs, None, shares)  # type: ignore[arg-type]
    entry = keras.Input(raw.shape[1:])
    network = keras.Model(entry, bounded(entry, layout))
    return network, np.asarray(network.predict(raw, verbose=0))


def test_activations_keep_their_bounds_on_wild_inputs() -> None:
    outputs = (
        Output("a", activation="sigmoid", lower=-1.5, upper=2.0),
        Output("b", activation="softplus", lower=0.5),
        Output("c", activation="relu", lower=-0.25),
        Output("d"),
    )
    _, found = through(outputs, WILD)
    assert found[:, 0].min() >= -1.5
    assert found[:, 0].max() <= 2.0
    assert found[:, 1].min() >= 0.5
    assert found[:, 2].min() == -0.25
    np.testing.assert_array_equal(found[:, 3], WILD[:, 3])


def test_an_exponential_is_positive() -> None:
    raw = np.array([[-3.0], [0.0], [2.0]], "f")
    _, found = through((Output("a", activation="exp", lower=1.0),), raw)
    np.testing.assert_allclose(found[:, 0], 1.0 + np.exp(raw[:, 0]), rtol=1e-6)


def test_shares_add_up_to_the_whole() -> None:
    outputs = (Output("a", activation="softmax"), Output("b"), Output("c", activation="softmax"))
    shares = Shares((0, 2), factor=(50.0, 20.0), offset=(-1.0, 3.0))
    _, found = through(outputs, WILD[:, :3] / 1e3, (shares,))
    parts = (found[:, [0, 2]] - shares.offset) / np.array(shares.factor)
    np.testing.assert_allclose(parts.sum(axis=1), 1.0, rtol=1e-5)
    assert (parts >= 0).all()


def test_members_and_deviations_pass_through() -> None:
    outputs = (Output("a", activation="relu", lower=0.0), Output("b"))
    raw = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("f")
    _, found = through(outputs, raw)
    np.testing.assert_array_equal(found[..., 1:], raw[..., 1:])
    assert found[..., 0].min() == 0


def test_outputs_that_are_all_linear_need_no_layer() -> None:
    network, _ = through((Output("a"), Output("b")), WILD[:, :2])
    assert not any(isinstance(layer, Bounded) for layer in network.layers)


def test_bounds_travel_in_the_file(tmp_path: Path) -> None:
    outputs = (Output("a", activation="sigmoid", lower=-1.0, upper=1.0), Output("b"))
    network, found = through(outputs, WILD[:, :2])
    network.save(tmp_path / "n.keras")
    again = keras.saving.load_model(tmp_path / "n.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(WILD[:, :2], verbose=0), found)


RECIPES: list[dict[str, Any]] = [
    {"architecture": "shared"},
    {"architecture": "multi_head", "head_hidden": [4]},
    {"architecture": "ensemble", "members": 3},
    {"architecture": "joint_gaussian"},
    {"architecture": "mixture", "components": 2},
    {"architecture": "quantile"},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r["architecture"])
def test_predictions_and_samples_keep_bounds_in_units(recipe: dict[str, Any]) -> None:
    rows = small_rows(300, missing=0.0)
    size = np.abs(rows.column("b").to_numpy())
    rows = replaced(rows, "b", size)
    targets = {
        "a": {"unit": "K", "output": "sigmoid", "bounds": [-60, 80]},
        "b": {"unit": "Pa", "output": "softplus", "transform": "log1p"},
    }
    recipe = recipe | {"hidden": [8], "epochs": 2, "batch_size": 150, "learning_rate": 0.1}
    bundle, _ = fit(small_contract(targets=targets, recipe=recipe), rows, rows)
    far = replaced(rows, "x", np.linspace(-1e4, 1e4, len(rows)))
    found = bundle.predict(far, draws=20)
    for values in (found.mean, found.samples, *(found.quantiles or {}).values()):
        if values is not None:
            assert values[..., 0].min() >= -60
            assert values[..., 0].max() <= 80
            assert values[..., 1].min() >= 0


@pytest.mark.parametrize("architecture", ["shared", "multi_head", "mixture"])
def test_predictions_of_shares_add_up_in_units(architecture: str) -> None:
    rows = small_rows(300, missing=0.0)
    part = 1 / (1 + np.exp(-rows.column("x").to_numpy() / 4))
    for name, share in (("a", part), ("b", 1 - part)):
        rows = replaced(rows, name, 100 * share)
    target = {"unit": "%", "output": "softmax", "group": "mix"}
    contract = small_contract(
        targets={"a": target, "b": target},
        target_groups={"mix": {"whole": 100.0}},
        recipe={"architecture": architecture, "hidden": [8], "epochs": 2, "batch_size": 150},
    )
    found = fit(contract, rows, rows)[0].predict(rows, draws=10)
    for values in (found.mean, found.samples):
        if values is not None:
            np.testing.assert_allclose(values.sum(axis=-1), 100.0, rtol=1e-9)
            assert values.min() >= 0
