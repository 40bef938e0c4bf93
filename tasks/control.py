"""The control: a network per target, trained beside the candidate on the same shards.

It shares nothing between targets, so that its errors show where the candidate's sharing helps
a target and where it hurts (negative transfer). It is scored, and no rule of the gate uses it.
"""

from data_contracts.columns import Target
from data_contracts.contract import Contract
from data_contracts.recipes.base import BaseRecipe
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
    targets = {name: _alone(target) for name, target in contract.targets.items()}
    groups = {g: t.model_copy(update={"whole": None}) for g, t in contract.target_groups.items()}
    changes = {"recipe": control_recipe(recipe), "targets": targets, "target_groups": groups}
    return contract.model_copy(update=changes)


def control_recipe(recipe: BaseRecipe) -> IndependentRecipe:
    """Return the recipe of a network per target that agrees with `recipe` where both can.

    What `recipe` does not have, such as a loss where it learns by a likelihood, is the default.
    """
    own = recipe.model_dump()
    shared = {name: own[name] for name in IndependentRecipe.model_fields if name in own}
    return IndependentRecipe.model_validate(shared | {"architecture": CONTROL})


def _alone(target: Target) -> Target:
    """Return a target that needs no other: a share of one whole is learned as a plain number."""
    return target.model_copy(update={"output": "linear"}) if target.output == "softmax" else target
