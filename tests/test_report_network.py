"""The report's sections on the network and on sharing, and the count of weights near nothing."""

import json
import re
from typing import Any

import keras
import numpy as np
import pytest

from data_contracts.recipes import ARCHITECTURES, recipe_model
from data_contracts.recipes.brought import name_of
from tasks.learning.networks import architecture
from tasks.learning.shards import Arrays
from tasks.learning.sparsity import layer_weights
from tasks.report.network import MOST_LAYERS, differing
from tests.builders import plain_layout
from tests.test_report import Case, Page, words

LAYERS = [
    {"layer": "hidden_0", "weights": 1000, "small": 250, "l1": 0.01},
    {"layer": "hidden_1", "weights": 500, "small": 500, "l1": 0.01},
    {"layer": "targets", "weights": 100, "small": 0, "l1": 0.0},
]


@pytest.fixture
def case(tmp_path) -> Case:
    """A run of three targets that passed."""
    return Case(tmp_path)


class Layered(Case):
    """A run whose candidate has `layers.json`."""

    def __init__(self, folder: Any, members: list[Any]) -> None:
        super().__init__(folder)
        (folder / "layers.json").write_text(json.dumps(members))

    def sources(self, contract: Any) -> Any:
        from dataclasses import replace

        return replace(super().sources(contract), layers=self.folder / "layers.json")


def section(text: str, name: str) -> str:
    """The words of one section, cell by cell."""
    own = text.partition(f'<section id="{name}"')[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", own.partition(">")[2]).split())


def small_arrays() -> Arrays:
    draw = np.random.default_rng(0)
    inputs, targets = (draw.normal(size=(30, n)).astype(np.float32) for n in (4, 2))
    return Arrays(inputs, targets, np.ones(30, np.float32))


def test_weights_below_a_thousandth_of_the_largest_are_counted() -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="only")])
    kernel = np.array([[2.0, -0.0019], [0.0021, -2.0], [0.0, 1.0]])
    network.layers[0].set_weights([kernel, np.zeros(2)])
    found = layer_weights(network)
    assert [(k.weights, k.small, k.l1) for k in found] == [(6, 2, 0.0)]


def test_a_kernel_of_zeros_is_all_small() -> None:
    layer = keras.layers.Dense(
        2, kernel_initializer="zeros", kernel_regularizer=keras.regularizers.L1(0.1)
    )
    network = keras.Sequential([keras.Input((3,)), layer])
    found = layer_weights(network)[0]
    assert (found.weights, found.small) == (6, 6)
    assert found.l1 == pytest.approx(0.1)


def test_layers_that_are_not_trained_are_not_counted() -> None:
    frozen = keras.layers.Dense(2, trainable=False)
    network = keras.Sequential([keras.Input((3,)), frozen, keras.layers.Dense(1, name="last")])
    assert len(layer_weights(network)) == 1


@pytest.mark.parametrize("name", [name_of(m) for m in ARCHITECTURES])
def test_every_architecture_has_its_hidden_layers_counted(name: str) -> None:
    recipe = recipe_model(name).model_validate({"architecture": name, "hidden": (6, 5), "l1": 0.01})
    network = architecture(name).build(recipe, plain_layout(small_arrays()))
    found = {k.layer: k for k in layer_weights(network)}
    assert {"hidden_0", "hidden_1"} <= set(found)
    assert all(found[f"hidden_{i}"].l1 > 0 for i in (0, 1))


def test_the_report_counts_weights_layer_by_layer(tmp_path) -> None:
    found = section(Layered(tmp_path, [LAYERS]).write(), "network")
    assert "shared , 15,430 parameters" in found
    assert "hidden_0 1,000 250 25.0 %" in found
    assert "All layers 1,600 750 46.9 %" in found
    assert "penalty" not in found


def test_members_are_counted_together(tmp_path) -> None:
    case = Layered(tmp_path, [LAYERS, LAYERS])
    case.members = 2
    found = section(case.write(), "network")
    assert "hidden_0 2,000 500 25.0 %" in found


def test_the_report_says_what_an_l1_penalty_drove_to_nothing(tmp_path) -> None:
    case = Layered(tmp_path, [LAYERS])
    case.contract = {"recipe": {"base": "shared_128_64", "l1": 0.01}}
    found = section(case.write(), "network")
    assert "The L1 penalty of 0.01 drove 750 of the 1,500 weights" in found
    assert "l1: 0.01" in found


def test_no_more_layers_are_written_out_than_a_reader_wants(tmp_path) -> None:
    many = [{"layer": f"head_{i}", "weights": 10, "small": 1, "l1": 0.0} for i in range(500)]
    found = section(Layered(tmp_path, [many]).write(), "network")
    assert f"{500 - MOST_LAYERS} more are in layers.json" in found
    assert "All layers 5,000 500 10.0 %" in found


def test_only_options_that_differ_from_their_defaults_are_named() -> None:
    model = recipe_model("shared")
    assert differing(model.model_validate({"architecture": "shared"})) == {}
    changed = model.model_validate({"architecture": "shared", "hidden": [8], "dropout": 0.2})
    assert differing(changed) == {"hidden": [8], "dropout": 0.2}


def test_the_report_says_in_words_where_sharing_helps(case) -> None:
    case.models = {"candidate": 2.0, "independent": 2.5, "mean": 10.0}
    text = case.write()
    found = section(text, "sharing")
    assert "Sharing helps 3 of 3 targets and hurts 0" in found
    assert "temp °F 2.00 2.50 −20.0 % sharing helps" in found
    assert "3 of 3" in words(text).partition("targets with lower RMSE than a network per target")[2]
    assert any(a["href"] == "#sharing" for a in Page(text).of("a"))


def test_without_a_control_the_report_has_no_word_of_sharing(case) -> None:
    text = case.write()
    assert 'id="sharing"' not in text
    assert "#sharing" not in text
