"""Outputs, transforms, losses and heads that do not agree are refused, with the mend."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from data_contracts.contract import Contract
from data_contracts.errors import dotted, refusals
from data_contracts.section import Refusal
from tests.builders import small_contract

LIKELIHOODS = ["joint_gaussian", "deep_gp", "cvae", "mixture", "quantile"]
POINTS = ["shared", "multi_head", "independent", "ensemble"]


def contract(
    targets: dict[str, Any], recipe: dict[str, Any] | str = "shared", **changes: Any
) -> Contract:
    """Return a contract of these targets, each of unit K unless it says otherwise."""
    return Contract.model_validate(
        {
            "format": 1,
            "dataset": "small",
            "source": {"kind": "parquet", "path": "rows.parquet"},
            "key": ["id"],
            "features": {"now": {}},
            "targets": {name: {"unit": "K"} | target for name, target in targets.items()},
            "split": {"kind": "random"},
            "recipe": {"architecture": recipe} if isinstance(recipe, str) else recipe,
        }
        | changes
    )


def refusal(*content: Any, **changes: Any) -> Refusal:
    """Return the one refusal of a contract."""
    with pytest.raises(ValidationError) as caught:
        contract(*content, **changes)
    (found,) = refusals(caught.value)
    return found


def told(found: Refusal) -> str:
    """Return a refusal's key and all its words."""
    return f"{dotted(found.path)}: expected {found.expected}, got {found.got}; {found.hint}"


def test_targets_have_a_linear_output_and_standard_scaling_unless_they_say_otherwise() -> None:
    target = contract({"a": {}}).targets["a"]
    assert (target.output, target.transform) == ("linear", "standard")


@pytest.mark.parametrize("recipe", POINTS)
@pytest.mark.parametrize(
    "target",
    [
        {"output": "sigmoid", "bounds": [0, 1]},
        {"output": "sigmoid", "bounds": [-0.5, 1], "transform": "log1p"},
        {"output": "softplus", "transform": "log1p"},
        {"output": "relu", "transform": "quantile"},
        {"output": "exp", "transform": "yeo_johnson"},
        {"loss": "crps"},
        {"loss": "gaussian_nll", "loss_weight": 3.0},
        {"loss": "quantile", "loss_level": 0.9},
    ],
)
def test_outputs_transforms_and_losses_go_with_every_network_of_points(
    recipe: str, target: dict[str, Any]
) -> None:
    assert contract({"a": target, "b": {}}, recipe).recipe.architecture == recipe


def test_a_sigmoid_needs_bounds() -> None:
    found = refusal({"a": {"output": "sigmoid"}})
    assert found.path == ("targets", "a", "bounds")
    assert "[least, greatest]" in found.expected


def test_a_sigmoid_of_a_logarithm_needs_bounds_that_have_one() -> None:
    found = refusal({"a": {"output": "sigmoid", "bounds": [-1, 5], "transform": "log1p"}})
    assert found.path == ("targets", "a", "bounds")
    assert "a least above -1" in found.expected


@pytest.mark.parametrize("output", ["sigmoid", "softplus", "relu", "exp"])
def test_a_change_has_no_fixed_bounds(output: str) -> None:
    target = {"output": output, "bounds": [0, 1], "transform": "change", "present": "now"}
    found = refusal({"a": target})
    assert found.path == ("targets", "a", "transform")
    assert "no fixed bounds" in found.hint


SHARE = {"output": "softmax", "group": "soil"}
SOIL = {"target_groups": {"soil": {"whole": 100.0}}}


@pytest.mark.parametrize("recipe", ["shared", "multi_head", "ensemble"])
@pytest.mark.parametrize("targets", [{"a": SHARE, "b": SHARE}, {"share[3]": SHARE}])
@pytest.mark.parametrize("transform", ["standard", "robust", "none"])
def test_two_shares_or_more_make_a_whole(recipe: str, targets: Any, transform: str) -> None:
    scaled = {name: {**t, "transform": transform} for name, t in targets.items()}
    assert contract({**scaled, "c": {}}, recipe, **SOIL).target_groups["soil"].whole == 100


def test_a_share_of_one_is_always_the_whole() -> None:
    found = refusal({"a": SHARE, "b": {}}, **SOIL)
    assert found.path == ("targets", "a", "output")
    assert found.hint == "a softmax group of one is always the whole"


def test_shares_need_a_group() -> None:
    with pytest.raises(ValidationError) as caught:
        contract({"a": {"output": "softmax"}, "b": {"output": "softmax"}})
    found = refusals(caught.value)
    assert [f.path for f in found] == [("targets", "a", "group"), ("targets", "b", "group")]
    assert "a target group with `whole`" in found[0].expected


def test_shares_need_a_group_that_has_a_whole() -> None:
    found = refusal({"a": SHARE}, target_groups={"soil": {}})
    assert found.path == ("targets", "a", "group")
    assert "a target group with `whole`" in found.expected


def test_shares_of_a_group_that_nobody_named_are_told_of_that_alone() -> None:
    found = refusal({"a": SHARE, "b": {}}, target_groups={"sole": {}})
    assert (found.path, found.hint) == (("targets", "a", "group"), "did you mean 'sole'?")


def test_all_targets_of_a_whole_are_shares() -> None:
    found = refusal({"a": SHARE, "b": SHARE, "c": {"group": "soil"}}, **SOIL)
    assert found.path == ("targets", "c", "output")
    assert found.expected.startswith("softmax")


@pytest.mark.parametrize("target", [{}, {"group": "soil"}])
def test_a_whole_without_shares_is_refused(target: dict[str, Any]) -> None:
    found = refusal({"a": target}, **SOIL)
    assert found.path == ("target_groups", "soil", "whole")
    assert "output: softmax" in found.expected


@pytest.mark.parametrize("whole", [0.0, -1.0])
def test_a_whole_is_above_nothing(whole: float) -> None:
    found = refusal({"a": SHARE, "b": SHARE}, target_groups={"soil": {"whole": whole}})
    assert found.path == ("target_groups", "soil", "whole")


@pytest.mark.parametrize("transform", ["log1p", "yeo_johnson", "quantile"])
def test_shares_are_scaled_in_proportion(transform: str) -> None:
    found = refusal({"a": {**SHARE, "transform": transform}, "b": SHARE}, **SOIL)
    assert found.path == ("targets", "a", "transform")
    assert found.expected.startswith("standard, robust or none")


def test_a_share_is_no_change() -> None:
    target = {**SHARE, "transform": "change", "present": "now"}
    assert "no fixed bounds" in refusal({"a": target, "b": SHARE}, **SOIL).hint


def test_networks_that_share_nothing_make_no_shares() -> None:
    found = refusal({"share[2]": SHARE}, "independent", **SOIL)
    assert found.path == ("targets", "share[2]", "output")
    assert "independent shares nothing" in found.expected


@pytest.mark.parametrize("recipe", LIKELIHOODS)
def test_a_loss_is_refused_where_the_architecture_has_its_own(recipe: str) -> None:
    found = refusal({"a": {"loss": "mae"}}, recipe)
    assert found.path == ("targets", "a", "loss")
    assert found.hint.startswith(f"remove loss: {recipe} learns by the " if recipe != "cvae"
                                 else "remove loss: cvae learns by a bound on")  # fmt: skip


@pytest.mark.parametrize("recipe", LIKELIHOODS)
def test_a_loss_weight_is_refused_where_the_architecture_has_its_own_loss(recipe: str) -> None:
    assert contract({"a": {"loss_weight": 1.0}}, recipe).targets["a"].loss_weight == 1
    found = refusal({"a": {"loss_weight": 2.0}}, recipe)
    assert found.path == ("targets", "a", "loss_weight")
    assert found.hint.startswith(f"remove loss_weight: {recipe} learns by")


@pytest.mark.parametrize("target", [{}, {"loss": "mae"}])
def test_a_level_needs_the_quantile_loss(target: dict[str, Any]) -> None:
    found = refusal({"a": {**target, "loss_level": 0.9}})
    assert found.path == ("targets", "a", "loss_level")
    assert "loss: quantile" in found.hint


def test_a_level_is_no_way_to_choose_the_quantile_architectures_levels() -> None:
    found = refusal({"a": {"loss_level": 0.9}}, "quantile")
    assert (found.path, found.hint) == (("targets", "a", "loss_level"), "remove loss_level")


def test_a_level_goes_with_the_recipes_quantile_loss_or_the_heads() -> None:
    level = {"a": {"loss_level": 0.9}}
    contract(level, {"architecture": "shared", "loss": "quantile"})
    heads = {"architecture": "multi_head", "heads": {"a": {"loss": "quantile"}}}
    contract({**level, "b": {}}, heads)
    found = refusal({**level, "b": {"loss_level": 0.1}}, heads)
    assert found.path == ("targets", "b", "loss_level")


def heads(*names: str, per: str = "target") -> dict[str, Any]:
    own = {name: {"hidden": [8]} for name in names}
    return {"architecture": "multi_head", "head_per": per, "heads": own}


def test_heads_go_by_target_column() -> None:
    contract({"temp": {}, "tend[2]": {}}, heads("temp", "tend_1"))
    found = refusal({"temp": {}, "tend[2]": {}}, heads("tmp"))
    assert found.path == ("recipe", "heads", "tmp")
    assert told(found).endswith("temp, tend_0, tend_1, got 'tmp' (text); did you mean 'temp'?")


def test_heads_per_group_go_by_group_vector_or_lone_target() -> None:
    targets = {"temp": {"group": "air"}, "dewp": {"group": "air"}, "tend[2]": {}, "rain": {}}
    groups: dict[str, Any] = {"target_groups": {"air": {}}}
    contract(targets, heads("air", "tend", "rain", per="group"), **groups)
    found = refusal(targets, heads("temp", per="group"), **groups)
    assert found.path == ("recipe", "heads", "temp")
    assert "a head: air, tend, rain" in found.expected


def test_the_named_heads_are_those_that_the_network_has() -> None:
    from tasks.learning.layout import Layout, Output
    from tasks.learning.networks.multi_head import heads as built
    from tasks.learning.shards import Arrays

    targets = {"v[2]": {"group": "air"}, "a": {"group": "air"}, "w[2]": {}, "b": {}}
    recipe = heads("air", "w", "b", per="group")
    whole = contract(targets, recipe, target_groups={"air": {}})
    order = list(whole.target_columns)
    groups = {g: tuple(map(order.index, own)) for g, own in whole.groups().items()}
    outputs, none = tuple(map(Output, order)), Arrays(*[np.zeros((0, 1))] * 3)
    layout = Layout((), outputs, none, groups=groups)
    assert set(built(whole.recipe, layout)) == set(whole.recipe.heads)


@pytest.mark.parametrize("weighing", ["learned", "gradnorm"])
def test_a_likelihood_is_not_weighed_by_what_it_would_break(weighing):
    recipe = {"architecture": "shared", "target_weights": weighing}
    targets = {"a": {"unit": "K", "loss": "gaussian_nll"}, "b": {"unit": "Pa"}}
    with pytest.raises(ValidationError, match="since a learns by gaussian_nll"):
        small_contract(recipe=recipe, targets=targets)
    targets["a"]["loss"] = "crps"
    assert small_contract(recipe=recipe, targets=targets).recipe.target_weights == weighing
