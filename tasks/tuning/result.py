"""What a search found: the record, and the best recipe as YAML and as a difference."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from data_contracts.contract import Contract
from data_contracts.recipes import recipe_model
from data_contracts.recipes.base import BaseRecipe
from data_contracts.recipes.changing import chosen
from tasks.records import Record
from tasks.tuning.study import Study
from tasks.tuning.trial import Trial


class Tuned(Record):
    """`report.html`, `trials.json`, `best.yaml`, `recipe.diff`."""

    dataset: str
    study: str
    """The study's place, where its trials are."""
    trials: int
    """How many of its trials are finished, those that were pruned or failed among them."""
    pruned: int
    failed: int
    taken_over: int
    """How many more come from earlier studies."""
    own_error: float | None
    """The error of the contract's own recipe; None where its trial is not complete."""
    best: Trial | None
    """The trial of the least error."""
    front: tuple[int, ...] = ()
    """With several objectives, the numbers of the trials that no other beats in all of them."""

    @property
    def better(self) -> bool:
        """Whether the best recipe has less error than the contract's own."""
        best, own = self.best, self.own_error
        return best is not None and own is not None and best.error < own

    @property
    def words(self) -> str:
        """The best recipe against the contract's own, in words, and its values."""
        values = f": {changes_text(self.best)}" if self.better and self.best else ""
        return self.headline + values

    @property
    def headline(self) -> str:
        """The best recipe against the contract's own, in words."""
        if self.best is None:
            return "no trial is complete"
        if not self.better or self.own_error is None:
            known = "" if self.own_error is None else f", validation error {self.own_error:.4f}"
            return f"no recipe is better than the contract's own{known}"
        less = 100 * (1 - self.best.error / self.own_error)
        return (
            f"trial {self.best.number} has validation error {self.best.error:.4f}, {less:.1f} % "
            f"below the contract's own {self.own_error:.4f}"
        )

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        return f"{self.trials} trials; {self.words}"


def changes_text(trial: Trial) -> str:
    """Return a trial's values in one line of YAML."""
    return flow_yaml(trial.changes)[1:-1] or "as the contract has it"


def result_of(study: Study) -> Tuned:
    """Return what a study has found so far."""
    own = study.own
    states = [t.state for t in study.trials]
    return Tuned(
        dataset=study.contract.dataset,
        study=study.place,
        trials=len(study.trials),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        taken_over=len(study.plan.inherited),
        own_error=own.error if own and own.state == "complete" else None,
        best=study.best,
        front=tuple(t.number for t in front(study.trials, study.tuning.objectives)),
    )


def front(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Return the complete trials that no other beats in all objectives; none of one objective."""
    if len(objectives) < 2:
        return []
    told = [t for t in trials if t.state == "complete" and set(objectives) <= set(t.values)]
    points = [(t, [t.values[o] for o in objectives]) for t in told]
    return [t for t, own in points if not any(_beats(other, own) for _, other in points)]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def best_recipe(contract: Contract, found: Tuned) -> BaseRecipe:
    """Return the best recipe where it is better than the contract's own, else that."""
    if not found.better or found.best is None:
        return contract.recipe
    model = recipe_model(str(found.best.recipe["architecture"]))
    return model.model_validate(found.best.recipe)


def write_files(study: Study, found: Tuned, folder: Path) -> None:
    """Write all but the report."""
    trials = [t.model_dump(mode="json") for t in study.known]
    (folder / "trials.json").write_text(json.dumps(trials, indent=1), "utf-8")
    best = best_recipe(study.contract, found)
    (folder / "best.yaml").write_text(recipe_yaml(best), "utf-8")
    (folder / "recipe.diff").write_text(recipe_diff(study.contract.recipe, best), "utf-8")


def recipe_yaml(recipe: BaseRecipe) -> str:
    """Return a recipe as the YAML of a contract, without the fields that are as by default."""
    lines = [f"  {name}: {flow_yaml(value)}\n" for name, value in _plain(recipe).items()]
    return "recipe:\n" + "".join(lines)


def recipe_diff(own: BaseRecipe, best: BaseRecipe) -> str:
    """Return a unified diff from one recipe's YAML to another's; empty where they are alike."""
    texts = [recipe_yaml(r).splitlines(keepends=True) for r in (own, best)]
    names = "the contract's own", "best"
    return "".join(difflib.unified_diff(texts[0], texts[1], *names, n=100))


def flow_yaml(value: Any) -> str:
    """Return a plain value as YAML on one line."""
    text = yaml.safe_dump(
        _listed(value), default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(recipe: BaseRecipe) -> dict[str, Any]:
    data, order = chosen(recipe), type(recipe).model_fields
    return {"architecture": data["architecture"]} | {f: data[f] for f in order if f in data}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value
