"""Fit several networks: those of one shape in one compiled call an epoch, the rest one by one.

In: a job for each network, as for `fit_network`. Out: what `fit_network` returns for each. Networks
are of one shape where they are the same program with other numbers (`tasks.learning.alike`), have
the same batch size and about as many rows: folds, members that differ by their seed, and trials
that differ by step size, dropout, penalties or decay.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from tasks.learning.accumulation import out_of_memory
from tasks.learning.alike import Unlike, shape_of
from tasks.learning.architecture import Architecture
from tasks.learning.beginning import Weights
from tasks.learning.course import Keeper
from tasks.learning.epochs import Compiler, build
from tasks.learning.errors import NotTogether
from tasks.learning.feeding import Held, Rows
from tasks.learning.fitting import Curve, fit_network, new_trainee
from tasks.learning.layout import Layout
from tasks.learning.networks import architecture
from tasks.learning.precision import FULL
from tasks.learning.recovery import OnEpoch
from tasks.learning.together import Course, Together

if TYPE_CHECKING:
    from data_contracts.contract import Contract

log = logging.getLogger("polycast")

WORK = 3e11
"""Floating-point operations of a network's epoch at most: one that takes longer gains nothing, and
checkpoints could not be written within it."""

Keepers = Callable[[str], Keeper | None]
"""Returns where the checkpoints of a name lie."""
Fitted = tuple[keras.Model, Curve]


@dataclass(frozen=True, eq=False)
class Job:
    """A network to train."""

    name: str
    """Its own among all jobs."""
    contract: "Contract"
    layout: Layout
    train: Rows
    validation: Rows
    on_epoch: OnEpoch | None = None
    start: Weights = None


def fit_many(
    jobs: Sequence[Job], compiler: Compiler, keepers: Keepers = lambda _: None
) -> list[Fitted | Exception]:
    """Return each job's trained network and curve, or what it raised."""

    def alone(job: Job) -> Fitted | Exception:
        try:
            return fit_network(
                job.contract, job.layout, job.train, job.validation, job.on_epoch, compiler, (),
                keepers(job.name), job.start,
            )  # fmt: skip
        except Exception as fault:  # of whatever kind: the other jobs go on
            return fault

    found = fit_together(jobs, compiler, keepers)
    return [f if f is not None else alone(job) for job, f in zip(jobs, found, strict=True)]


def fit_together(
    jobs: Sequence[Job], compiler: Compiler, keepers: Keepers = lambda _: None
) -> list[Fitted | Exception | None]:
    """Return what became of those jobs that are trained in one call with others, or what whoever is
    told of epochs raised; None for a job that is to be trained alone."""
    found: list[Fitted | Exception | None] = [None] * len(jobs)
    for group in _groups(jobs):
        courses = [course for _, course in group]
        name = f"{jobs[group[0][0]].name}-and-{len(group) - 1}-more"
        log.info("%d networks of one shape are trained in one call an epoch", len(group))
        try:
            Together(courses, compiler, keepers(name)).run()
        except Exception as fault:
            if not (isinstance(fault, NotTogether) or out_of_memory(fault)):
                raise
            log.warning("networks are trained one by one: %s", str(fault).strip().split("\n")[0])
            continue
        for i, course in group:
            found[i] = _outcome(course)
    return found


def _outcome(course: Course) -> Fitted | Exception | None:
    if course.diverged:
        log.info("a network has diverged: it is trained anew, alone")
        return None
    return course.fault or (course.trainee.network, Curve(course.loss, course.val_loss))


def why_in_turn(contract: "Contract") -> str | None:
    """Return why a contract's networks are to be trained one by one, None where they may not."""
    recipe, training = contract.recipe, contract.training
    reasons = {
        "training.parallel": training.parallel != "none",
        "training.accumulate": training.accumulate > 1,
        "training.precision": training.precision != FULL,
        "training.rematerialize": bool(training.rematerialize),
        "architecture: auto, whose members are trained together": recipe.architecture == "auto",
        f"architecture: {recipe.architecture}, which has callbacks": _calls_back(contract),
        "averaging: swa": recipe.averaging == "swa",
        "target_weights: gradnorm": getattr(recipe, "target_weights", "") == "gradnorm",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _calls_back(contract: "Contract") -> bool:
    kind = type(architecture(contract.recipe.architecture))
    return kind.callbacks is not Architecture.callbacks


def _why_alone(job: Job) -> str | None:
    held = isinstance(job.train, Held) and isinstance(job.validation, Held)
    return why_in_turn(job.contract) or (None if held else "rows that come from disk")


def _groups(jobs: Sequence[Job]) -> list[list[tuple[int, Course]]]:
    """Return the jobs that are trained together, by their numbers, each group of two or more."""
    if len(jobs) < 2:
        return []
    reasons = {_why_alone(job) for job in jobs} - {None}
    for reason in sorted(map(str, reasons)):
        log.info("networks are trained one by one for %s", reason)
    able = [(i, job) for i, job in enumerate(jobs) if _why_alone(job) is None]
    shapes: dict[tuple[str, int, str], list[tuple[int, Course]]] = {}
    for i, job in able if len(able) > 1 else []:
        recipe = job.contract.recipe
        trainee = new_trainee(job.contract, job.layout, job.train.count, job.start)
        build(trainee, job.train.some)
        if 6.0 * trainee.count_params() * job.train.count > WORK:
            continue
        try:
            key = (shape_of(trainee), recipe.batch_size, recipe.schedule)
        except Unlike as fault:
            log.info("a network is trained alone: %s", fault)
            continue
        course = Course(trainee, recipe, job.train, job.validation, job.on_epoch)
        shapes.setdefault(key, []).append((i, course))
    parts = [part for group in shapes.values() for part in _as_long(group)]
    return [part for part in parts if len(part) > 1]


def _as_long(group: list[tuple[int, Course]]) -> list[list[tuple[int, Course]]]:
    """Part courses so that each part's have about as many steps an epoch."""
    out: list[list[tuple[int, Course]]] = []
    for i, course in sorted(group, key=lambda own: own[1].train.count):
        first = out[-1][0][1] if out else None
        size = course.recipe.batch_size
        near = first is not None and all(
            a.count // size - b.count // size <= 1
            for a, b in ((course.train, first.train), (course.validation, first.validation))
        )
        same = first is not None and (
            course.train.count == first.train.count or not _sees_batches(course)
        )
        if near and same:
            out[-1].append((i, course))
        else:
            out.append([(i, course)])
    return [sorted(part, key=lambda own: own[0]) for part in out]


def _sees_batches(course: Course) -> bool:
    """Whether rows that do not count would change what the network makes of the others."""
    kinds = keras.layers.BatchNormalization
    return any(isinstance(x, kinds) for x in course.trainee.network._flatten_layers())
