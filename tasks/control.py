"""The control: a network per target, trained beside the candidate on the same shards.

It shares nothing between targets, so that its errors show where the candidate's sharing helps
a target and where it hurts (negative transfer). It is scored, and no rule of the gate uses it.
"""

from data_contracts.columns import Target
from data_contracts.contract import Contract
from data_contracts.learning_agreement import effective_losses
from data_contracts.recipes.base import BaseRecipe, LayersRecipe, PointOptions
from data_contracts.recipes.independent import IndependentRecipe

CONTROL = "independent"
"""The control's name among the models that are scored."""


def control_contract(contract: Contract) -> Contract | None:
    """Return the contract by which the control learns, None where there is none to train.

    There is none where the contract asks for none, and where the candidate is one itself.
    """
    recipe = contract.recipe
    if contract.evaluation.control == "none" or recipe.architecture == CONTROL:
        return None
    targets = {name: _alone(contract, name) for name in contract.targets}
    groups = {g: t.model_copy(update={"whole": None}) for g, t in contract.target_groups.items()}
    changes = {"recipe": control_recipe(recipe), "targets": targets, "target_groups": groups}
    return contract.model_copy(update=changes)


def control_recipe(recipe: BaseRecipe) -> IndependentRecipe:
    """Return the recipe of a network per target that agrees with `recipe` where both can.

    What `recipe` does not have, such as a loss where it learns by a likelihood, or leaves open, is
    the default.
    """
    kinds = (BaseRecipe, LayersRecipe, PointOptions)
    asked = {name for kind in kinds for name in kind.model_fields}
    own = recipe.model_dump(include=asked & set(type(recipe).model_fields), exclude_none=True)
    return IndependentRecipe.model_validate(own | {"architecture": CONTROL})


def _alone(contract: Contract, name: str) -> Target:
    """Return a target that needs no other, with the loss that it has in the candidate.

    A share of one whole is learned as a plain number.
    """
    target, losses = contract.targets[name], effective_losses(contract, name)
    changes: dict[str, str] = {"loss": losses.pop()} if len(losses) == 1 else {}
    if target.output == "softmax":
        changes["output"] = "linear"
    return target.model_copy(update=changes)
