"""The search: trials begun and kept until the budget is spent."""

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import Any

from tasks.tuning.batch import Done
from tasks.tuning.engines import Engine
from tasks.tuning.study import Study
from tasks.tuning.trial import Job, Trial

log = logging.getLogger("polycast")

TOGETHER = 8
"""How many trials one call trains at most."""
AHEAD = 32
"""Among so many next trials those of one shape are looked for at most."""


class TrialLost(Exception):
    """A trial's process ended before the trial did."""


@dataclass(frozen=True)
class Budget:
    """When a search ends: whichever comes first. No limit where None."""

    trials: int | None = None
    """How many finished trials the study shall have."""
    minutes: float | None = None
    """How long this call may take. A trial that is under way then is given up."""


def search(study: Study, budget: Budget, engine: Engine) -> None:
    """Do trials of a study until the budget is spent, or there is nothing more to try.

    Raises TrialLost.
    """
    start = time.time()
    deadline = None if budget.minutes is None else start + 60 * budget.minutes
    jobs = study.tuning.jobs
    told = _Teller(study, budget, start)
    waiting: dict[Future[Done], Sequence[Job]] = {}
    alone: list[Job] = []
    with engine(jobs) as submit:
        while True:
            if deadline is not None and time.time() > deadline:
                study.drop(alone)
                alone = []
            while len(waiting) < jobs:
                most, ahead = _most(study, budget, deadline, jobs - len(waiting))
                batch = [alone.pop(0)] if alone else study.begin(deadline, most, ahead)
                if not batch:
                    break
                waiting[submit(batch)] = batch
            if not waiting:
                return
            for future in sorted(_ended(waiting), key=lambda f: waiting[f][0].trial.number):
                (trials, left), begun = _result(future), waiting.pop(future)
                alone += left
                kept = {t.number for t in trials} | {job.trial.number for job in left}
                study.drop([job for job in begun if job.trial.number not in kept])
                for trial in trials:
                    study.end(trial)
                    told(trial)


def _result(future: "Future[Done]") -> Done:
    try:
        return future.result()
    except BrokenExecutor:
        raise TrialLost(
            "the process of a trial was ended from outside, as a system does that runs out of "
            "memory: try a smaller tuning.jobs. Finished trials are kept: run again to go on"
        ) from None


def _ended(waiting: "dict[Future[Done], Sequence[Job]]") -> "set[Future[Done]]":
    return wait(waiting, return_when=FIRST_COMPLETED).done


def _most(study: Study, budget: Budget, deadline: float | None, calls: int) -> tuple[int, int]:
    """Return how many trials the next call may begin, of so many calls that are to begin, and
    among how many next trials it may choose."""
    most, ahead = TOGETHER, AHEAD
    if budget.trials is not None:
        left = max(0, budget.trials - len(study.trials) - len(study.running))
        most, ahead = min(most, -(-left // calls)), min(ahead, left)
    if deadline is not None:
        seconds = deadline - time.time()
        longest = max((t.seconds for t in study.trials), default=math.inf)
        # A call of several keeps nothing before its end: it is to end in time.
        most = min(most, max(1, int(seconds / longest))) if seconds > 0 else 0
    return most, ahead


class _Teller:
    """Tells of each trial on the log, for whoever draws a bar."""

    def __init__(self, study: Study, budget: Budget, start: float) -> None:
        self.study, self.budget, self.start = study, budget, start
        self.before = len(study.trials)

    def __call__(self, trial: Trial) -> None:
        best = self.study.best
        least = "none yet" if best is None else f"{best.error:.4f} in trial {best.number}"
        error = f"error {trial.error:.4f}" if trial.state == "complete" else trial.state
        news: dict[str, Any] = {"stage": "tune", "state": "trial", "best": least}
        news |= {"done": len(self.study.trials), "of": self.budget.trials, "left": self._left()}
        text = "trial %d: %s; best %s"
        log.info(text, trial.number, error, least, extra=news)

    def _left(self) -> float | None:
        """Return about how many seconds are left."""
        took, done = time.time() - self.start, len(self.study.trials) - self.before
        left = [] if self.budget.minutes is None else [60 * self.budget.minutes - took]
        if self.budget.trials is not None:
            left.append(took / max(done, 1) * (self.budget.trials - len(self.study.trials)))
        return max(min(left), 0.0) if left else None
