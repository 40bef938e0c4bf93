"""The next recipe to try: a function of the trials so far, and of nothing else.

So a search that was killed proposes what it would have proposed. Optuna's study is made anew from
the trials each time; its seed follows from the contract's and the trial's number.
"""

import itertools
import json
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from data_contracts.tuning import Tuning
from tasks.learning.errors import MissingPart
from tasks.tuning.pruning import NAME, pruner_of
from tasks.tuning.space import Changes, Space
from tasks.tuning.trial import Trial

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

STARTUP = 5
"""So many trials are drawn at random before tpe draws by them: a nightly budget has no more than a
dozen, of which Optuna's ten would leave nothing to search."""


def check_sampler(tuning: Tuning) -> None:
    """Raise MissingPart where the sampler's package is not installed."""
    if tuning.strategy == "bayesian" and tuning.sampler == "gp" and find_spec("torch") is None:
        raise MissingPart(
            "tuning.sampler is gp, which needs torch: pip install 'polycast[tuning-gp]', or write "
            "sampler: tpe"
        )


def propose(
    tuning: Tuning, space: Space, ended: Sequence[Trial], running: Sequence[Trial], number: int,
    skipped: int = 0,
) -> Changes | None:  # fmt: skip
    """Return the values for a trial of this number; None where a grid has no more. A grid leaves
    out as many of its next points as numbers are `skipped`, which are theirs."""
    if tuning.strategy == "grid":
        done = [json.dumps(t.changes, sort_keys=True) for t in (*ended, *running)]
        points = (p for p in space.grid() if json.dumps(p, sort_keys=True) not in done)
        return next(itertools.islice(points, skipped, None), None)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=NAME,
            directions=["minimize"] * len(tuning.objectives),
            sampler=_sampler(tuning, number),
            pruner=pruner_of(tuning.pruned, space.recipe.epochs),
        )
        for trial in ended:
            study.add_trial(_known(tuning, space, trial, ended=True))
        for trial in running:
            study.add_trial(_known(tuning, space, trial, ended=False))
        return space.draw(study.ask())


def _sampler(tuning: Tuning, number: int) -> "BaseSampler":
    from optuna import samplers

    seed = int(np.random.SeedSequence([tuning.seed, number]).generate_state(1)[0])
    if tuning.strategy == "random":
        return samplers.RandomSampler(seed)
    if tuning.sampler == "gp":
        return samplers.GPSampler(seed=seed, deterministic_objective=True)
    return samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP
    )


def _known(tuning: Tuning, space: Space, trial: Trial, ended: bool) -> "FrozenTrial":
    """Return Optuna's trial of one of ours."""
    from optuna.trial import TrialState, create_trial

    complete = trial.state == "complete"
    if not space.holds(trial.changes) or (ended and not _told(tuning, trial)):
        return create_trial(state=TrialState.FAIL)
    params, where = space.params(trial.changes), space.distributions(trial.changes)
    if not ended:
        return create_trial(state=TrialState.RUNNING, params=params, distributions=where)
    values = [trial.values[o] for o in tuning.objectives] if complete else [trial.curve[-1]]
    return create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        params=params,
        distributions=where,
        values=values,
        intermediate_values=dict(enumerate(trial.curve, 1)),
        system_attrs=dict(trial.marks),
    )


def _told(tuning: Tuning, trial: Trial) -> bool:
    """Say whether a trial tells anything of all objectives: one of another study may not."""
    if trial.state == "complete":
        return set(tuning.objectives) <= set(trial.values)
    return trial.state == "pruned" and len(tuning.objectives) == 1
