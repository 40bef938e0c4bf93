"""Whether the space that a contract's tuning searches is one of its recipe."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from data_contracts.constraint_agreement import constraint_disagreements
from data_contracts.errors import dotted, refusals
from data_contracts.format_agreement import format_disagreements
from data_contracts.learning_agreement import learning_disagreements
from data_contracts.recipes import architecture_names, recipe_model
from data_contracts.recipes.base import BaseRecipe
from data_contracts.recipes.brought import RecipeFault
from data_contracts.recipes.changing import changed, has, whole
from data_contracts.section import Refusal, did_you_mean
from data_contracts.tuning import Range, Tuning

if TYPE_CHECKING:
    from data_contracts.contract import Contract

SPACE = ("tuning", "space")


def tuning_disagreements(contract: "Contract") -> Iterator[Refusal]:
    """Yield what of the tuning does not agree with itself or with the recipe."""
    tuning = contract.tuning
    if tuning is None:
        return
    yield from _search(tuning)
    yield from _nightly(contract, tuning)
    found = list(_architectures(tuning))
    yield from found
    if found:
        return
    models = _models(contract, tuning)
    for field, values in (tuning.space or {}).items():
        if not any(has(model, field) for model in models):
            yield _unknown(field, models)
        elif isinstance(values, Range):
            yield from _range(tuning, field, values, models)
    yield from _values(contract, tuning, models)


def _search(tuning: Tuning) -> Iterator[Refusal]:
    if tuning.sampler != "tpe" and tuning.strategy != "bayesian":
        expected = f"nothing, since the strategy is {tuning.strategy}"
        hint = "write strategy: bayesian, or remove sampler"
        yield Refusal(("tuning", "sampler"), expected, tuning.sampler, hint)
    if tuning.strategy == "grid" and tuning.space is None:
        yield Refusal(("tuning", "space"), "a mapping, since the strategy is grid", None)
    if "error" not in tuning.objectives or len(set(tuning.objectives)) != len(tuning.objectives):
        expected = "error, alone or with latency or parameters, each once"
        yield Refusal(("tuning", "objectives"), expected, list(tuning.objectives))
    elif len(tuning.objectives) > 1 and tuning.pruning not in (None, "none"):
        expected = "none, since a trial of several objectives cannot be told to be worse early"
        yield Refusal(("tuning", "pruning"), expected, tuning.pruning)
    for field, values in (tuning.space or {}).items():
        if not isinstance(values, Range):
            for i, value in enumerate(values):
                if any(value == v and type(value) is type(v) for v in values[:i]):
                    yield Refusal((*SPACE, field, i), "each value once", value)


def _nightly(contract: "Contract", tuning: Tuning) -> Iterator[Refusal]:
    if tuning.minutes is not None and contract.evaluation.folds is not None:
        expected = "nothing, since evaluation.folds is set"
        hint = (
            "the validation rows of a fold are test rows of others: a recipe that is chosen by "
            "them is judged by rows that have chosen it"
        )
        yield Refusal(("tuning", "minutes"), expected, tuning.minutes, hint)


def _architectures(tuning: Tuning) -> Iterator[Refusal]:
    values, known = (tuning.space or {}).get("architecture", ()), architecture_names()
    if isinstance(values, Range):
        yield Refusal((*SPACE, "architecture"), f"a list of: {', '.join(known)}", values.low)
        return
    for i, name in enumerate(values):
        path, hint = (*SPACE, "architecture", i), did_you_mean(str(name), list(known))
        if name not in known:
            yield Refusal(path, f"one of: {', '.join(known)}", name, hint)
            continue
        try:
            recipe_model(name)
        except RecipeFault as fault:
            yield Refusal(path, "an architecture that can be used", name, str(fault))


def _models(contract: "Contract", tuning: Tuning) -> list[type[BaseRecipe]]:
    """Return the recipe's model of each architecture that may be drawn."""
    names = (tuning.space or {}).get("architecture", (contract.recipe.architecture,))
    assert isinstance(names, tuple)
    own = type(contract.recipe)
    return [own if n == contract.recipe.architecture else recipe_model(n) for n in names]


def _unknown(field: str, models: list[type[BaseRecipe]]) -> Refusal:
    known = list(dict.fromkeys(name for model in models for name in model.model_fields))
    names = ", ".join(sorted(known))
    hint = did_you_mean(field, known)
    return Refusal((*SPACE, field), f"a field of the recipe: {names}", field, hint)


def _range(
    tuning: Tuning, field: str, values: Range, models: list[type[BaseRecipe]]
) -> Iterator[Refusal]:
    path = (*SPACE, field)
    if values.low >= values.high:
        yield Refusal((*path, "high"), f"a number above low, {values.low:g}", values.high)
    if values.log and values.low <= 0:
        yield Refusal((*path, "low"), "a number above 0, since log is true", values.low)
    if values.log and values.step is not None:
        yield Refusal((*path, "step"), "nothing, since log is true", values.step)
    elif values.step is not None and values.step > values.high - values.low > 0:
        most = values.high - values.low
        yield Refusal((*path, "step"), f"at most {most:g}, from low to high", values.step)
    if tuning.strategy == "grid" and values.step is None:
        hint = "a grid has so many points along each field: write step, or a list of values"
        yield Refusal((*path, "step"), "a number, since the strategy is grid", None, hint)
    numbers = any("." not in field and has(m, field) and whole(m, field) for m in models)
    if numbers and isinstance(values.step, float):
        yield Refusal((*path, "step"), "a whole number, as the field is", values.step)


def _values(
    contract: "Contract", tuning: Tuning, models: list[type[BaseRecipe]]
) -> Iterator[Refusal]:
    """Yield the values that the recipe does not take, by itself or with the rest."""
    before = set(map(_key, _of_recipe(contract)))
    for path, field, value in tuning.values():
        for model in models if field != "architecture" else [None]:
            if model is not None and not has(model, field):
                continue
            found = list(_refused(contract, model, field, value, before))
            yield from (Refusal((*path, *r.path), r.expected, r.got, r.hint) for r in found)
            if found:
                break


def _refused(
    contract: "Contract",
    model: type[BaseRecipe] | None,
    field: str,
    value: Any,
    before: set[tuple[Any, ...]],
) -> Iterator[Refusal]:
    """Yield why a value is none of a field, with paths from the value on."""
    changes = {field: value}
    if model is not None:
        changes |= {"architecture": _name(contract, model)}
    try:
        recipe = changed(contract.recipe, changes)
    except ValidationError as error:
        depth = len(field.split("."))
        for r in refusals(error):
            below = r.path[depth:] if r.path[:1] == (field.split(".")[0],) else ()
            whose = "" if below or r.path[:1] == (field.split(".")[0],) else f"{dotted(r.path)}: "
            yield Refusal(below, whose + r.expected, _come(value, below), r.hint)
        return
    for r in _of_recipe(contract.model_copy(update={"recipe": recipe})):
        if _key(r) not in before:
            yield Refusal((), f"a value that agrees with {dotted(r.path)}", value, r.expected)


def _come(value: Any, below: tuple[str | int, ...]) -> Any:
    """Return the part of a value that a path leads to."""
    for part in below:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _name(contract: "Contract", model: type[BaseRecipe]) -> str:
    from data_contracts.recipes.brought import name_of

    own = type(contract.recipe) is model
    return contract.recipe.architecture if own else name_of(model)


def _of_recipe(contract: "Contract") -> Iterator[Refusal]:
    yield from learning_disagreements(contract)
    yield from constraint_disagreements(contract)
    yield from format_disagreements(contract)


def _key(refusal: Refusal) -> tuple[Any, ...]:
    return refusal.path, refusal.expected, str(refusal.got)
