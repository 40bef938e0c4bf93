"""A trial: one recipe, trained on train rows and scored on validation rows."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from data_contracts.agreement import disagreements
from data_contracts.contract import Contract
from data_contracts.errors import dotted
from data_contracts.recipes import recipe_model
from data_contracts.tuning import Tuning
from tasks.backends import backend
from tasks.compiled import keep_compiled
from tasks.feed import fed
from tasks.learning.errors import Diverged
from tasks.records import fold_name
from tasks.storage import root_storage
from tasks.tuning.pruning import Past, Pruner
from tasks.tuning.scoring import values_of

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.feeding import Rows
    from tasks.learning.fitting import Curve

FREE = {"learning_rate", "dropout", "l1", "l2", "weight_decay", "epochs", "patience"}
"""In what recipes may differ whose networks are of one shape, as a rule."""


Origin = Literal["contract", "earlier study", "grid", "random", "bayesian"]


class Trial(BaseModel):
    """A finished trial, as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    origin: Origin
    """Where its recipe came from."""
    changes: dict[str, Any]
    """The recipe's values for the space's fields. Where the space does not hold the contract's own
    recipe, none."""
    recipe: dict[str, Any]
    """The whole recipe."""
    state: Literal["complete", "pruned", "failed"]
    values: dict[str, float] = {}
    """`error`, `latency` in milliseconds per 1,000 rows, `parameters`."""
    curve: tuple[float, ...] = ()
    """Validation losses by epoch."""
    best_epoch: int = 0
    marks: dict[str, float] = {}
    """What the pruner has written down of it."""
    seconds: float = 0.0
    why: str = ""
    """Why it failed."""
    study: str = ""
    """The earlier study that it comes from, where it was not made in this one."""

    @property
    def error(self) -> float:
        """The error; infinite for a trial that is not complete."""
        return self.values["error"] if self.state == "complete" else float("inf")

    @property
    def past(self) -> Past:
        """What pruning needs to know of the trial."""
        return Past(self.kind, self.state == "complete", self.curve, self.marks)

    @property
    def kind(self) -> tuple[str, ...]:
        """What trials have in common whose validation losses can be compared."""
        return tuple(str(self.recipe.get(f)) for f in ("architecture", "loss", "target_weights"))

    @property
    def shape(self) -> str:
        """What trials have in common that may well be trained in one call."""
        return json.dumps({k: v for k, v in self.recipe.items() if k not in FREE}, sort_keys=True)


@dataclass(frozen=True)
class Job:
    """A trial to do, for any process that sees the storage root."""

    trial: Trial
    """As it is so far; its state is not yet known."""
    contract: str
    """The contract as JSON, with its own recipe."""
    shards: str
    """The place of the shards."""
    past: tuple[Past, ...]
    """The trials before it."""
    deadline: float | None = None
    """The time, in seconds since 1970, after which it is given up."""

    def read(self) -> tuple[Contract, Tuning]:
        """Return the contract with the trial's recipe, and how the contract tunes."""
        contract = Contract.model_validate_json(self.contract)
        model = recipe_model(str(self.trial.recipe["architecture"]))
        recipe = model.model_validate(self.trial.recipe)
        own = contract.model_copy(update={"recipe": recipe, "tuning": None})
        return own, contract.tuning or Tuning()


class OutOfTime(Exception):
    """The budget's time was over before a trial was finished."""


class Pruned(Exception):
    """The trial is given up."""


class Watch:
    """Is told of a trial's epochs, and makes the finished trial of what came of them."""

    def __init__(self, job: Job, contract: Contract, tuning: Tuning) -> None:
        self.job, self.tuning = job, tuning
        self.pruner = Pruner(tuning.pruned, contract.recipe.epochs, job.past, job.trial.kind)
        self.curve: list[float] = []

    def __call__(
        self, epoch: int, loss: float, val_loss: float, losses: Mapping[str, float]
    ) -> None:
        """Note an epoch. Raises OutOfTime, and Pruned."""
        self.curve.append(val_loss)
        if self.job.deadline is not None and time.time() > self.job.deadline:
            raise OutOfTime
        if self.pruner.gives_up(epoch, val_loss):
            raise Pruned

    def complete(self, member: "Member", learned: "Curve", validation: "Rows") -> Trial:
        """Return the trial of a trained member, scored."""
        values = values_of(member, validation, self.tuning.objectives)
        return self._ended(state="complete", values=values, best_epoch=learned.best_epoch)

    def pruned(self) -> Trial:
        """Return the trial that was given up."""
        return self._ended(state="pruned")

    def failed(self, why: str) -> Trial:
        """Return the trial of which nothing came."""
        return self.job.trial.model_copy(update={"state": "failed", "why": why})

    def _ended(self, **how: Any) -> Trial:
        told = {"curve": tuple(self.curve), "marks": self.pruner.marks}
        return self.job.trial.model_copy(update=told | how)


def refusal(contract: Contract) -> str:
    """Say what of a contract disagrees with a trial's recipe; nothing where all agrees."""
    return "; ".join(f"{dotted(r.path)}: expected {r.expected}" for r in disagreements(contract))


def use_backend(contract: Contract) -> None:
    """Let the backend use the contract's device, and keep what it compiles."""
    keep_compiled()
    backend().use_device(contract.training.device)


def train_trial(job: Job) -> Trial | None:
    """Return the finished trial, trained alone; None where the time was over before."""
    contract, tuning = job.read()
    watch = Watch(job, contract, tuning)
    if why := refusal(contract):
        return watch.failed(why)
    start = time.monotonic()
    try:
        found = _trained(watch, contract)
    except Diverged as fault:
        found = watch.failed(str(fault))
    except Pruned:
        found = watch.pruned()
    except OutOfTime:
        return None
    return found.model_copy(update={"seconds": time.monotonic() - start})


def _trained(watch: Watch, contract: Contract) -> Trial:
    """Return the complete trial. Raises Diverged, Pruned and OutOfTime."""
    use_backend(contract)
    from tasks.learning.fitting import fit_member
    from tasks.learning.preprocessing import Preprocessing

    place = root_storage().fetch(watch.job.shards) / fold_name(0)
    fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    with TemporaryDirectory(prefix="polycast-trial-") as scratch, fed(place, Path(scratch)) as rows:
        member, learned = fit_member(contract, fitted, *rows, watch, backend(), apart=True)
        return watch.complete(member, learned, rows[1])
