"""Trials of one shape, trained in one compiled call an epoch.

What cannot be trained with others is left over, for whoever asked to train it alone: so each trial
is kept as soon as it is finished, and a kill loses none of them.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.backends import backend
from tasks.folds_together import too_large
from tasks.records import fold_name
from tasks.storage import root_storage
from tasks.tuning.trial import (
    Job,
    OutOfTime,
    Pruned,
    Trial,
    Watch,
    refusal,
    train_trial,
    use_backend,
)

if TYPE_CHECKING:
    from tasks.learning.fit_many import Fitted
    from tasks.learning.fit_many import Job as Network
    from tasks.learning.preprocessing import Preprocessing

Done = tuple[list[Trial], list[Job]]
"""The trials that are finished, and the jobs that are left to be done alone; a job is in neither
where the time was over before."""


def train_batch(jobs: Sequence[Job]) -> Done:
    """Train a trial alone, or several that may be of one shape together."""
    if len(jobs) == 1:
        trial = train_trial(jobs[0])
        return ([] if trial is None else [trial]), []
    start = time.monotonic()
    trials, left = _together(jobs)
    seconds = (time.monotonic() - start) / max(1, len(trials))
    return [t.model_copy(update={"seconds": seconds}) for t in trials], left


def _together(jobs: Sequence[Job]) -> Done:
    use_backend(jobs[0].read()[0])
    from tasks.learning.feeding import Held
    from tasks.learning.fit_many import Job as Network
    from tasks.learning.fit_many import fit_together
    from tasks.learning.layout import lay_out
    from tasks.learning.preprocessing import Preprocessing
    from tasks.learning.shards import read_shard

    place = root_storage().fetch(jobs[0].shards) / fold_name(0)
    read = [(job, *job.read()) for job in jobs]
    if too_large([place] * len(jobs)) or any(refusal(contract) for _, contract, _ in read):
        return [], list(jobs)
    fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    train, validation = (Held(read_shard(place / f"{s}.parquet")) for s in ("train", "validation"))
    watches = [Watch(*own) for own in read]
    networks = [
        Network(
            f"trial-{job.trial.number}",
            contract,
            lay_out(contract, fitted, train.some, train.count, apart=True),
            train,
            validation,
            watch,
        )
        for (job, contract, _), watch in zip(read, watches, strict=True)
    ]
    trials, left = [], []
    found = fit_together(networks, backend())
    for job, network, watch, fit in zip(jobs, networks, watches, found, strict=True):
        if fit is None:
            left.append(job)
        elif not isinstance(fit, OutOfTime):
            trials.append(_trial(watch, network, fitted, fit))
    return trials, left


def _trial(
    watch: Watch, network: "Network", fitted: "Preprocessing", fit: "Fitted | Exception"
) -> Trial:
    from tasks.learning.fitting import finished

    if isinstance(fit, Pruned):
        return watch.pruned()
    if isinstance(fit, Exception):
        raise fit
    trained, curve = fit
    member = finished(network.contract, fitted, network.layout, trained, network.validation.some)
    return watch.complete(member, curve, network.validation)
