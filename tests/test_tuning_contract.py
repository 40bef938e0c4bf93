"""The tuning that a contract declares: what it may say, and how an error says where."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.contract import Contract
from data_contracts.errors import ContractError
from data_contracts.loading import load_contract
from data_contracts.recipes.changing import changed, whole
from data_contracts.recipes.ensemble import EnsembleRecipe
from data_contracts.tuning import Range
from tests.builders import small_contract
from tests.walk import write_contract


def refused(folder: Path, **tuning: Any) -> str:
    """Return what is said of a contract whose tuning is wrong."""
    file = write_contract(folder, tuning=tuning)
    with pytest.raises(ContractError) as error:
        load_contract(str(file))
    return str(error.value)


def test_minutes_alone_are_a_tuning() -> None:
    contract = small_contract(tuning={"minutes": 20})
    assert contract.tuning is not None
    assert contract.tuning.pruned == "median"
    assert Contract.model_validate_json(contract.model_dump_json()) == contract


def test_a_space_takes_lists_and_ranges_of_any_field_of_the_architectures() -> None:
    space = {
        "architecture": ["shared", "ensemble"],
        "members": [4, 8],
        "hidden": [[64], [128, 64]],
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": {"low": 32, "high": 512, "log": True},
        "clip_norm": [None, 1.0],
    }
    contract = small_contract(tuning={"space": space})
    assert contract.tuning is not None
    assert Contract.model_validate_json(contract.model_dump_json()) == contract


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rat": [1e-3]}, ("tuning.space.learning_rat\n", "did you mean 'learning_rate'")),
        ({"hidden": [[64], [0, 2]]}, ("tuning.space.hidden[1][0]\n", "expected a number of 1")),
        ({"dropout": [0.1, 1.5]}, ("tuning.space.dropout[1]\n", "expected a number below 1")),
        (
            {"dropout": {"low": 0, "high": 1}},
            ("tuning.space.dropout.high\n", "expected a number below 1"),
        ),
        ({"batch_size": {"low": 8, "high": 64.5}}, ("batch_size.high\n", "a whole number")),
        ({"l2": {"low": 1, "high": 0.5}}, ("tuning.space.l2.high\n", "above low, 1")),
        ({"l2": {"low": 0, "high": 1, "log": True}}, ("l2.low\n", "above 0, since log is true")),
        (
            {"l2": {"low": 0.1, "high": 1, "log": True, "step": 0.1}},
            ("tuning.space.l2.step\n", "expected nothing, since log is true"),
        ),
        ({"l2": 0.1}, ("tuning.space.l2\n", "a list of values, or {low: …, high: …}")),
        ({"l2": []}, ("tuning.space.l2\n", "at least 1")),
        ({"l2": [0.1, 0.1]}, ("tuning.space.l2[1]\n", "each value once")),
        ({"architecture": ["shared", "ensembl"]}, ("architecture[1]\n", "did you mean 'ensemble'")),
    ],
)
def test_a_value_that_the_recipe_does_not_take_is_refused_where_it_stands(
    tmp_path: Path, space: dict[str, Any], said: tuple[str, str]
) -> None:
    text = refused(tmp_path, space=space)
    assert "nyc_slice.yaml:" in text
    for words in said:
        assert words in text


def test_a_value_that_disagrees_with_the_rest_of_the_contract_is_refused() -> None:
    target = {"a": {"unit": "K", "loss": "gaussian_nll"}, "b": {"unit": "Pa"}}
    with pytest.raises(ValueError, match=r"a value that agrees with recipe\.target_weights"):
        small_contract(targets=target, tuning={"space": {"target_weights": ["learned"]}})


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        ({"strategy": "grid", "sampler": "gp"}, "expected nothing, since the strategy is grid"),
        (
            {"strategy": "grid", "space": {"l2": {"low": 0, "high": 1}}},
            "tuning.space.l2.step\n  expected a number, since the strategy is grid",
        ),
        ({"strategy": "grid"}, "tuning.space\n  expected a mapping, since the strategy is grid"),
        ({"objectives": ["latency"]}, "error, alone or with latency or parameters"),
        (
            {"objectives": ["error", "latency"], "pruning": "median"},
            "tuning.pruning\n  expected none",
        ),
        ({"minutes": 0}, "tuning.minutes\n  expected a number above 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    tmp_path: Path, tuning: dict[str, Any], said: str
) -> None:
    assert said in refused(tmp_path, **tuning)


def test_minutes_and_folds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"evaluation\.folds is set"):
        small_contract(tuning={"minutes": 5}, evaluation={"folds": 3})
    small_contract(tuning={"trials": 5}, evaluation={"folds": 3})


def test_steps_are_as_they_are_written() -> None:
    assert Range(low=0, high=0.4, step=0.1).steps() == (0, 0.1, 0.2, 0.3, 0.4)
    assert Range(low=2, high=9, step=3).steps() == (2, 5, 8)


def test_another_architecture_keeps_what_it_has_and_takes_its_own_defaults() -> None:
    recipe = small_contract(recipe={"architecture": "shared", "block": "gated", "l2": 0.5}).recipe
    found = changed(recipe, {"architecture": "ensemble", "members": 4, "block": "dense"})
    assert isinstance(found, EnsembleRecipe)
    assert (found.l2, found.members) == (0.5, 4)


def test_a_field_below_another_is_changed_alone() -> None:
    heads = {"a": {"hidden": [4], "activation": "tanh"}}
    recipe = small_contract(recipe={"architecture": "multi_head", "heads": heads}).recipe
    found = changed(recipe, {"heads.a.hidden": [8]}).model_dump()["heads"]["a"]
    assert (found["hidden"], found["activation"]) == ((8,), "tanh")


def test_whole_numbers_are_told_from_others() -> None:
    assert whole(EnsembleRecipe, "batch_size")
    assert whole(EnsembleRecipe, "label_embedding")
    assert not whole(EnsembleRecipe, "learning_rate")
    assert not whole(EnsembleRecipe, "hidden")
