"""Whether what targets say of their learning agrees with their groups and with the recipe."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data_contracts.columns import Target, expand
from data_contracts.recipes.base import PointOptions
from data_contracts.recipes.multi_head import MultiHeadRecipe
from data_contracts.section import Refusal, did_you_mean

if TYPE_CHECKING:
    from data_contracts.contract import Contract

LIKELIHOODS = {
    "joint_gaussian": "the joint likelihood of all targets",
    "deep_gp": "the likelihood of a Gaussian process",
    "cvae": "a bound on the joint likelihood of all targets",
    "mixture": "the joint likelihood of all targets",
    "quantile": "the pinball loss of its levels",
}
"""What the architectures learn by that have a loss of their own."""


def learning_disagreements(contract: "Contract") -> Iterator[Refusal]:
    """Yield each output, transform, loss or head that does not agree with the rest."""
    for name, target in contract.targets.items():
        yield from _output(name, target)
        yield from _loss(contract, name, target)
        if target.output == "softmax":
            yield from _share(contract, name, target)
        yield from _weighing(contract, name)
    for name in contract.target_groups:
        yield from _whole(contract, name)
    if isinstance(contract.recipe, MultiHeadRecipe):
        yield from _heads(contract, contract.recipe)


def _output(name: str, target: Target) -> Iterator[Refusal]:
    output, bounds = target.output, target.bounds
    if output == "sigmoid" and bounds is None:
        expected = "[least, greatest], since output sigmoid lies between them"
        yield Refusal(("targets", name, "bounds"), expected, None)
    if output == "sigmoid" and bounds and target.transform == "log1p" and bounds[0] <= -1:
        expected = "a least above -1, since transform log1p takes the logarithm of 1 + value"
        yield Refusal(("targets", name, "bounds"), expected, list(bounds))
    if output != "linear" and target.transform == "change":
        expected = f"another transform than change, since the output is {output}"
        hint = "the change from `present` has no fixed bounds: each row's are others"
        yield Refusal(("targets", name, "transform"), expected, target.transform, hint)


def _loss(contract: "Contract", name: str, target: Target) -> Iterator[Refusal]:
    recipe = contract.recipe
    if recipe.architecture in LIKELIHOODS:
        how = f"{recipe.architecture} learns by {LIKELIHOODS[recipe.architecture]}"
        if target.loss is not None:
            hint = f"remove loss: {how}"
            yield Refusal(("targets", name, "loss"), "no loss of a target", target.loss, hint)
        if target.loss_weight != 1:
            hint, weight = f"remove loss_weight: {how}", target.loss_weight
            expected = "no weight of a target but 1"
            yield Refusal(("targets", name, "loss_weight"), expected, weight, hint)
    if target.loss_level != 0.5 and "quantile" not in effective_losses(contract, name):
        expected = "0.5, since no loss of this target is quantile"
        hint = "write loss: quantile beside it, or remove loss_level"
        if recipe.architecture in LIKELIHOODS:
            hint = "remove loss_level"
        yield Refusal(("targets", name, "loss_level"), expected, target.loss_level, hint)


def _weighing(contract: "Contract", name: str) -> Iterator[Refusal]:
    """Yield a way of weighing targets that a likelihood, which falls below 0, would break."""
    recipe = contract.recipe
    weighing = getattr(recipe, "target_weights", "fixed")
    if weighing in ("learned", "gradnorm") and "gaussian_nll" in effective_losses(contract, name):
        expected = f"fixed or inverse_variance, since {name} learns by gaussian_nll"
        hint = (
            f"{weighing} needs losses that stay above 0: crps is such a one of mean and deviation"
        )
        yield Refusal(("recipe", "target_weights"), expected, weighing, hint)


def effective_losses(contract: "Contract", name: str) -> set[str]:
    """Return the losses of a target's columns: its own, its heads', or else the recipe's."""
    recipe, own = contract.recipe, contract.targets[name].loss
    if own is not None or not isinstance(recipe, PointOptions):
        return {own} if own else set()
    if not isinstance(recipe, MultiHeadRecipe):
        return {recipe.loss}
    heads = [recipe.heads.get(h) for h in _head_names(contract, recipe, name)]
    return {(head and head.loss) or recipe.loss for head in heads}


def _share(contract: "Contract", name: str, target: Target) -> Iterator[Refusal]:
    group = contract.target_groups.get(target.group or "")
    if target.group is None or (group is not None and group.whole is None):
        expected = "a target group with `whole`, since output softmax makes shares of one whole"
        yield Refusal(("targets", name, "group"), expected, target.group)
    if target.transform not in ("standard", "robust", "none", "change"):
        expected = "standard, robust or none, since output softmax makes shares in proportion"
        yield Refusal(("targets", name, "transform"), expected, target.transform)
    if contract.recipe.architecture == "independent":
        expected = "another output than softmax, since architecture independent shares nothing"
        hint = "shares of one whole need one network: choose shared, multi_head or ensemble"
        yield Refusal(("targets", name, "output"), expected, target.output, hint)


def _whole(contract: "Contract", group: str) -> Iterator[Refusal]:
    """Yield what is wrong with a group that has a whole."""
    whole = contract.target_groups[group].whole
    if whole is None:
        return
    members = {name: t for name, t in contract.targets.items() if t.group == group}
    shares = [name for name, t in members.items() if t.output == "softmax"]
    if not shares:
        expected = "no whole, or targets of the group with output: softmax"
        yield Refusal(("target_groups", group, "whole"), expected, whole)
        return
    for name in members:
        if name not in shares:
            expected = f"softmax, as the other targets of the group {group}, which has a whole"
            yield Refusal(("targets", name, "output"), expected, members[name].output)
    if sum(len(expand(name)) for name in members) == 1:
        expected = f"two softmax targets or more in the group {group}"
        hint = "a softmax group of one is always the whole"
        yield Refusal(("targets", shares[0], "output"), expected, "softmax", hint)


def _heads(contract: "Contract", recipe: MultiHeadRecipe) -> Iterator[Refusal]:
    known = list(
        dict.fromkeys(h for t in contract.targets for h in _head_names(contract, recipe, t))
    )
    for name in recipe.heads:
        if name not in known:
            expected = f"a head: {', '.join(known)}"
            yield Refusal(("recipe", "heads", name), expected, name, did_you_mean(name, known))


def _head_names(contract: "Contract", recipe: MultiHeadRecipe, target: str) -> list[str]:
    """Return the head of each of a target's columns: its first group, or else the column."""
    groups = contract.groups().items() if recipe.head_per == "group" else ()
    first = [next((g for g, own in groups if c in own), c) for c in expand(target)]
    return list(dict.fromkeys(first))
