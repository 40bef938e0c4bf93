"""Which trials are given up early, by Optuna's pruners over the validation losses of the others.

A trial is held against those whose losses can be compared with its own: of the same architecture
and loss. Where it runs, it knows the trials that had ended when it began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial

STARTUP, WARMUP = 5, 3
"""median prunes after so many trials, and not within so many epochs."""
NAME = "polycast"


@dataclass(frozen=True)
class Past:
    """What pruning needs to know of an earlier trial."""

    kind: tuple[str, ...]
    complete: bool
    curve: tuple[float, ...]
    marks: dict[str, float]
    """What the pruner has written down of it."""


def pruner_of(name: str, epochs: int) -> "BasePruner":
    """Return Optuna's pruner for a contract's `pruning` and the most epochs of a trial."""
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=max(epochs, 2))
    return pruners.NopPruner()


class Pruner:
    """Says of a trial, after each epoch, whether to give it up."""

    def __init__(self, name: str, epochs: int, past: Sequence[Past], kind: tuple[str, ...]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = pruner_of(name, epochs)
        self._study = optuna.create_study(study_name=NAME, pruner=pruner)
        for other in past:
            self._study.add_trial(_trial(other, other.kind == kind))
        self._trial = self._study.ask()

    def gives_up(self, epoch: int, loss: float) -> bool:
        """Say whether to stop after an epoch, from 1, with this validation loss."""
        self._trial.report(loss, epoch)
        return bool(self._trial.should_prune())

    @property
    def marks(self) -> dict[str, float]:
        """What the pruner has written down of the trial."""
        frozen = self._study.trials[-1]
        return {k: v for k, v in frozen.system_attrs.items() if isinstance(v, float)}


def _trial(past: Past, comparable: bool) -> "FrozenTrial":
    """Return Optuna's trial of an earlier one; one that cannot be compared only has a number."""
    from optuna.trial import TrialState, create_trial

    if not comparable or not past.curve:
        return create_trial(state=TrialState.FAIL)
    state = TrialState.COMPLETE if past.complete else TrialState.PRUNED
    values = dict(enumerate(past.curve, 1))
    return create_trial(
        state=state,
        value=min(past.curve),
        intermediate_values=values,
        system_attrs=dict(past.marks),
    )
