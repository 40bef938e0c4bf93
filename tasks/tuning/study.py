"""A study: the trials of one space on one dataset's shards, kept under the storage root.

`tuning/<dataset>/<key>/study.json` says what is searched and what was taken over from earlier
studies; `trials/<number>.json` beside it is one finished trial. Each is written whole, once, and
never again, by whichever process ends it: what was killed in between has nothing to mend.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.contract import Contract
from data_contracts.recipes import recipe_model
from data_contracts.recipes.brought import RecipeFault
from data_contracts.recipes.changing import changed
from data_contracts.tuning import Tuning
from tasks.errors import WrongRequest
from tasks.records import Shards
from tasks.stage import code_digest
from tasks.storage import digest, root_storage
from tasks.train import STAGE as TRAIN
from tasks.tuning.proposing import STARTUP, check_sampler, propose
from tasks.tuning.space import Changes, Space, space_of
from tasks.tuning.trial import Job, Origin, Trial

FOLDER = "tuning"
BUDGET = {"trials", "minutes", "jobs", "gpus", "space", "found"}
"""What of the tuning changes no trial, or has a hash of its own."""
MOST_EARLIER = 3
"""From how many earlier studies, the newest first, the best recipe is tried."""


class Plan(BaseModel):
    """`study.json`: what a study searches and what it started from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created: str
    measure: str
    """A hash of all that an error depends on but the recipe's fields that are searched."""
    space: str
    """A hash of the space."""
    tuning: dict[str, Any]
    earlier: tuple[Changes, ...] = ()
    """The best recipes of earlier studies, which are tried first."""
    inherited: tuple[Trial, ...] = ()
    """The trials of earlier studies of the same space on the same data."""


@dataclass
class Study:
    """A study under way."""

    contract: Contract
    shards: Shards
    place: str
    plan: Plan
    space: Space
    trials: list[Trial]
    """Those that are finished."""
    running: dict[int, Trial] = field(default_factory=dict)

    @property
    def tuning(self) -> Tuning:
        """What the contract says of tuning."""
        return self.contract.tuning or Tuning()

    @property
    def known(self) -> list[Trial]:
        """All finished trials, those of earlier studies first."""
        return [*self.plan.inherited, *self.trials]

    @property
    def own(self) -> Trial | None:
        """The trial of the contract's own recipe."""
        found = [t for t in self.trials if t.number == 0]
        return found[0] if found else None

    @property
    def best(self) -> Trial | None:
        """The complete trial of the least error; of equal ones the first, and the contract's own
        where an earlier study has tried that too, which may differ by rounding."""
        complete = [t for t in self.known if t.state == "complete"]
        least = min(complete, key=lambda t: t.error, default=None)
        own = self.own
        again = least and own and own.state == "complete" and least.recipe == own.recipe
        return own if again else least

    def begin(self, deadline: float | None, most: int = 1, ahead: int = 1) -> list[Job]:
        """Return the next trial to do and, up to `most` in all and among as many next ones as
        `ahead`, others of its shape that are to be done whatever comes of it; none where there is
        nothing more to try."""
        batch: list[Trial] = []
        for skipped, number in enumerate(self._free(ahead if most else 0)):
            if batch and not (self._foreseen(batch[0].number) and self._foreseen(number)):
                break
            trial = self._trial(number, skipped)
            if trial is not None and (not batch or trial.shape == batch[0].shape):
                batch.append(trial)
            if trial is None or len(batch) == most:
                break
        self.running |= {trial.number: trial for trial in batch}
        text, past = self.contract.model_dump_json(), tuple(t.past for t in self.known)
        return [Job(trial, text, self.shards.place, past, deadline) for trial in batch]

    def end(self, trial: Trial) -> None:
        """Keep a finished trial; another process' trial of the same number stays beside it."""
        begun, storage = trial.number, root_storage()
        while not storage.create(self._file(trial.number), trial.model_dump_json().encode()):
            trial = trial.model_copy(update={"number": trial.number + 1})
        self.running.pop(begun, None)
        self.trials.append(trial)
        self.trials.sort(key=lambda t: t.number)

    def drop(self, jobs: Sequence[Job]) -> None:
        """Forget trials that were begun and will not end."""
        for job in jobs:
            self.running.pop(job.trial.number, None)

    def _file(self, number: int) -> str:
        return f"{self.place}/trials/{number:06}.json"

    def _free(self, count: int) -> list[int]:
        """Return the least numbers that no trial has."""
        taken = {t.number for t in self.trials} | set(self.running)
        return [n for n in range(len(taken) + count) if n not in taken][:count]

    def _foreseen(self, number: int) -> bool:
        """Whether what a trial tries does not hang on the trials before it."""
        if number <= len(self.plan.earlier):
            return False  # it tells how long a trial takes, and is best done first
        first = number + len(self.plan.inherited) < STARTUP and self.tuning.sampler == "tpe"
        return self.tuning.strategy != "bayesian" or first

    def _trial(self, number: int, skipped: int) -> Trial | None:
        """Return a trial to begin; `skipped` numbers below it are free and left for later."""
        earlier, recipe = self.plan.earlier, self.contract.recipe
        changes: Changes | None
        origin: Origin
        if number == 0:
            changes, origin = self.space.of(recipe) or {}, "contract"
        elif number <= len(earlier):
            changes, origin = earlier[number - 1], "earlier study"
        else:
            before = [t for t in self.known if t.number < number or t.study]
            origin = self.tuning.strategy
            others = list(self.running.values())
            changes = propose(self.tuning, self.space, before, others, number, skipped)
        if changes is None:
            return None
        data = changed(recipe, changes).model_dump(mode="json")
        return Trial(number=number, origin=origin, changes=changes, recipe=data, state="failed")


def open_study(contract: Contract, shards: Shards) -> Study:
    """Return the study of a contract's space on shards, with all its finished trials.

    Raises WrongRequest where the shards are of several folds, MissingPart where the sampler's
    package is absent.
    """
    if len(shards.folds) > 1:
        raise WrongRequest(
            f"{contract.dataset} is judged by cross-validation: the validation rows of a fold are "
            "test rows of others, so that a recipe chosen by them would be judged by rows that "
            "have chosen it. Tune on one division: --set evaluation.folds=null"
        )
    tuning = contract.tuning or Tuning()
    check_sampler(tuning)
    space = space_of(contract)
    recipe, *others = TRAIN.reads(contract)
    given = {field: value for field, value in recipe.items() if field not in space.fields}
    measure = digest([shards.hash, given, others, code_digest("tasks.tuning.batch")])
    held = digest([space.fields[f] for f in space.fields] + list(space.fields))
    how = tuning.model_dump(mode="json", exclude=BUDGET)
    place = f"{FOLDER}/{contract.dataset}/{digest([measure, recipe, held, how])[:16]}"
    plan = _plan(place)
    if plan is None:
        made = Plan(
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            measure=measure,
            space=held,
            tuning=tuning.model_dump(mode="json"),
            **_taken_over(contract, space, measure, held),
        )
        root_storage().create(f"{place}/study.json", made.model_dump_json(indent=1).encode())
        plan = _plan(place) or made
    return Study(contract, shards, place, plan, space, read_trials(place))


def _taken_over(contract: Contract, space: Space, measure: str, held: str) -> dict[str, Any]:
    """Return what a new study takes from earlier ones of the dataset."""
    plans = {p: _plan(p) for p in root_storage().places(f"{FOLDER}/{contract.dataset}")}
    newest = sorted(((p.created, place) for place, p in plans.items() if p), reverse=True)
    own = space.of(contract.recipe)
    earlier: list[Changes] = []
    inherited: list[Trial] = []
    for i, (_, place) in enumerate(newest):
        plan, trials = plans[place], read_trials(place)
        assert plan is not None
        if (plan.measure, plan.space) == (measure, held):
            inherited += [t.model_copy(update={"study": place}) for t in trials]
        elif i < MOST_EARLIER:
            best = _best_of(trials, space)
            if best not in (None, own, *earlier):
                earlier.append(best or {})
    return {"earlier": tuple(earlier), "inherited": tuple(inherited)}


def _best_of(trials: list[Trial], space: Space) -> Changes | None:
    """Return the values of the best trial for the space's fields, where it holds them."""
    complete = sorted((t for t in trials if t.state == "complete"), key=lambda t: t.error)
    for trial in complete[:1]:
        try:
            recipe = recipe_model(str(trial.recipe["architecture"])).model_validate(trial.recipe)
        except (ValidationError, RecipeFault):
            return None
        return space.of(recipe)
    return None


def _plan(place: str) -> Plan | None:
    """Return a study's plan; None where it is not there, or another version wrote it."""
    content = root_storage().read(f"{place}/study.json")
    try:
        return None if content is None else Plan.model_validate_json(content)
    except ValidationError:
        return None


def read_trials(place: str) -> list[Trial]:
    """Return a study's finished trials in order of their numbers."""
    files = root_storage().places(f"{place}/trials")
    found = (root_storage().read(file) for file in files if file.endswith(".json"))
    return [Trial.model_validate(json.loads(content)) for content in found if content]
