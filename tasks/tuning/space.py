"""The space that a study searches: fields of the recipe, as Optuna takes them and as they are.

Optuna knows a listed value by its JSON, since a value may be a list such as `[128, 64]`.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract
from data_contracts.recipes import recipe_model
from data_contracts.recipes.base import BaseRecipe
from data_contracts.recipes.changing import has, whole
from data_contracts.tuning import DEFAULT_SPACE, Range, Tuning

if TYPE_CHECKING:
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import Trial

    Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

Changes = dict[str, Any]
"""Values by field of the recipe."""


@dataclass(frozen=True)
class Space:
    """The values to try by field; `architecture`, which decides of the others, first."""

    recipe: BaseRecipe
    fields: Mapping[str, tuple[Any, ...] | Range]

    def draw(self, trial: "Trial") -> Changes:
        """Return what Optuna chooses for a trial, of the fields that the architecture has."""
        drawn: Changes = {}
        for field in self.fields:
            if has(self._model(drawn), field):
                drawn[field] = self._drawn(trial, field, drawn)
        return drawn

    def grid(self) -> Iterator[Changes]:
        """Yield every combination, the last field's values fastest. Every range has a step."""
        known: set[str] = set()
        for combination in itertools.product(*(self._listed(f) for f in self.fields)):
            drawn = dict(zip(self.fields, combination, strict=True))
            changes = {f: v for f, v in drawn.items() if has(self._model(drawn), f)}
            if (text := json.dumps(changes)) not in known:
                known.add(text)
                yield changes

    def of(self, recipe: BaseRecipe) -> Changes | None:
        """Return a recipe's values for the fields; None where the space does not hold them."""
        data = recipe.model_dump(mode="json")
        found: Changes = {}
        for field in self.fields:
            if has(type(recipe), field):
                found[field] = _at(data, field)
        return found if self.holds(found) else None

    def holds(self, changes: Changes) -> bool:
        """Whether all values are in the space, and all of the space's fields have one."""
        model = self._model(changes)
        wanted = {f for f in self.fields if has(model, f)}
        return wanted == set(changes) and all(self._holds(f, v) for f, v in changes.items())

    def params(self, changes: Changes) -> Changes:
        """Return values as Optuna knows them."""
        return {
            f: v if isinstance(self.fields[f], Range) else json.dumps(v) for f, v in changes.items()
        }

    def distributions(self, changes: Changes) -> "dict[str, BaseDistribution]":
        """Return where Optuna draws each field's values from."""
        return {field: self._distribution(field, changes) for field in changes}

    def _drawn(self, trial: "Trial", field: str, drawn: Changes) -> Any:
        from optuna.distributions import CategoricalDistribution, IntDistribution

        where = self._distribution(field, drawn)
        if isinstance(where, CategoricalDistribution):
            return json.loads(str(trial.suggest_categorical(field, where.choices)))
        if isinstance(where, IntDistribution):
            return trial.suggest_int(field, where.low, where.high, step=where.step, log=where.log)
        found = trial.suggest_float(field, where.low, where.high, step=where.step, log=where.log)
        return min(max(float(f"{found:.4g}"), where.low), where.high)

    def _distribution(self, field: str, drawn: Changes) -> "Distribution":
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        values = self.fields[field]
        if not isinstance(values, Range):
            return CategoricalDistribution([json.dumps(v) for v in values])
        if self._whole(field, drawn):
            step = 1 if values.step is None else int(values.step)
            high = values.steps()[-1] if values.step else values.high
            return IntDistribution(int(values.low), int(high), values.log, step)
        low, high = float(values.low), float(values.steps()[-1] if values.step else values.high)
        step_ = None if values.step is None else float(values.step)
        return FloatDistribution(low, high, values.log, step_)

    def _whole(self, field: str, drawn: Changes) -> bool:
        values = self.fields[field]
        assert isinstance(values, Range)
        numbers = [n for n in (values.low, values.high, values.step) if n is not None]
        if "." in field:
            return all(isinstance(n, int) for n in numbers)
        return whole(self._model(drawn), field)

    def _listed(self, field: str) -> tuple[Any, ...]:
        values = self.fields[field]
        return values.steps() if isinstance(values, Range) else values

    def _holds(self, field: str, value: Any) -> bool:
        values = self.fields[field]
        if not isinstance(values, Range):
            return json.dumps(value) in [json.dumps(v) for v in values]
        if not isinstance(value, int | float) or not values.low <= value <= values.high:
            return False
        if values.step is None:
            return True
        steps = (value - values.low) / values.step
        return abs(steps - round(steps)) < 1e-6

    def _model(self, drawn: Changes) -> type[BaseRecipe]:
        name = drawn.get("architecture", self.recipe.architecture)
        own = name == self.recipe.architecture
        return type(self.recipe) if own else recipe_model(str(name))


def space_of(contract: Contract) -> Space:
    """Return the space of a contract's tuning; the default one where it names none."""
    named = (contract.tuning or Tuning()).space
    recipe = contract.recipe
    known = type(recipe).model_fields
    fields = named or {f: v for f, v in DEFAULT_SPACE.items() if f in known}
    first = {f: v for f, v in fields.items() if f == "architecture"}
    return Space(recipe, first | dict(fields))


def _at(data: Any, field: str) -> Any:
    """Return the value at a field's dotted name, None where it is not set."""
    for part in field.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data
