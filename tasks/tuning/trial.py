"""A trial: one recipe, trained on train rows and scored on validation rows.

Its error is the mean over targets of the RMSE in scaled units on validation rows, computed in
float64 from the weights of the best epoch. It is the same measure whatever loss the recipe trains
by. `train_trial` is the one place where a trial is trained: several trials of one shape that are
trained in one call would come in here together.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
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

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.feeding import Rows

ROWS, CALLS = 1000, 30
"""Latency is the median over so many calls of the milliseconds that so many rows take."""


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


class OutOfTime(Exception):
    """The budget's time was over before a trial was finished."""


def train_trial(job: Job) -> Trial | None:
    """Return the finished trial; None where the time was over before."""
    contract = Contract.model_validate_json(job.contract)
    model = recipe_model(str(job.trial.recipe["architecture"]))
    recipe = model.model_validate(job.trial.recipe)
    own = contract.model_copy(update={"recipe": recipe, "tuning": None})
    refused = [f"{dotted(r.path)}: expected {r.expected}" for r in disagreements(own)]
    if refused:
        return job.trial.model_copy(update={"state": "failed", "why": "; ".join(refused)})
    start = time.monotonic()
    try:
        found = _trained(job, own, contract.tuning or Tuning())
    except Diverged as fault:
        found = job.trial.model_copy(update={"state": "failed", "why": str(fault)})
    except OutOfTime:
        return None
    return found.model_copy(update={"seconds": time.monotonic() - start})


def _trained(job: Job, contract: Contract, tuning: Tuning) -> Trial:
    """Return the trial with what came of it. Raises Diverged, and OutOfTime."""
    keep_compiled()
    backend().use_device(contract.training.device)
    from tasks.learning.fitting import fit_member
    from tasks.learning.preprocessing import Preprocessing

    trial, place = job.trial, root_storage().fetch(job.shards) / fold_name(0)
    fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    pruner = Pruner(tuning.pruned, contract.recipe.epochs, job.past, trial.kind)
    curve: list[float] = []

    def tell(epoch: int, loss: float, val_loss: float, losses: Mapping[str, float]) -> None:
        curve.append(val_loss)
        if job.deadline is not None and time.time() > job.deadline:
            raise OutOfTime
        if pruner.gives_up(epoch, val_loss):
            raise _Pruned

    with TemporaryDirectory(prefix="polycast-trial-") as scratch, fed(place, Path(scratch)) as rows:
        try:
            member, learned = fit_member(contract, fitted, *rows, tell, backend())
        except _Pruned:
            told = {"state": "pruned", "curve": tuple(curve), "marks": pruner.marks}
            return trial.model_copy(update=told)
        values = {"error": error_of(member, rows[1]), "parameters": member.network.count_params()}
        if "latency" in tuning.objectives:
            values["latency"] = _latency(member, rows[1])
    return trial.model_copy(
        update={
            "state": "complete",
            "values": {name: float(value) for name, value in values.items()},
            "curve": tuple(curve),
            "best_epoch": learned.best_epoch,
            "marks": pruner.marks,
        }
    )


class _Pruned(Exception):
    """The trial is given up."""


def error_of(member: "Member", validation: "Rows") -> float:
    """Return the mean over targets of the RMSE in scaled units, by row weights, over the cells
    that there are."""
    sums, weights = 0.0, 0.0
    targets = len(member.preprocessing.targets)
    for block, order in validation.blocks(np.array, 1, None):
        rows = np.asarray(block)[: len(order)]
        truth = rows[:, -targets - 1 : -1].astype(np.float64)
        weight = rows[:, -1:].astype(np.float64) * np.isfinite(truth)
        missed = np.where(weight > 0, _answer(member, rows[:, : -targets - 1]) - truth, 0.0)
        sums = sums + (weight * missed**2).sum(axis=0)
        weights = weights + weight.sum(axis=0)
    some = np.asarray(weights) > 0
    return float(np.mean(np.sqrt(np.asarray(sums)[some] / np.asarray(weights)[some])))


def _answer(member: "Member", inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    from tasks.learning.networks import architecture

    kind, random = architecture(member.architecture), np.random.default_rng(0)
    inputs = np.ascontiguousarray(inputs)
    return kind.answer(member.network, inputs, member.settings, 0, random).mean


def _latency(member: "Member", validation: "Rows") -> float:
    """Return how many milliseconds the network takes for ROWS rows."""
    some = validation.some.inputs
    inputs = np.ascontiguousarray(some[np.arange(ROWS) % len(some)])
    answer = backend().forward(member.network)
    answer(inputs)  # the first call compiles
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer(inputs)
        taken.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(taken))
