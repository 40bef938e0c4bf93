"""MLflow's record of a study: one run of the study, and below it one of each trial.

A study that goes on finds its runs again: each trial is logged once.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import registry
from tasks.experiment import experiment
from tasks.tuning.result import Tuned
from tasks.tuning.study import Study
from tasks.tuning.trial import Trial

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY_TAG, TRIAL_TAG = "polycast.study", "polycast.trial"
ALL = "all"
"""The trial of the run of the study itself."""
PARENT_TAG = "mlflow.parentRunId"
BATCH = 1000
"""The most metrics, and the most runs of a page, that MLflow takes in one call."""


def track(study: Study, found: Tuned, folder: Path) -> None:
    """Log a study's trials that are not logged yet, and what was found."""
    from mlflow.entities import Metric, Param

    client = registry.client()
    own = experiment(study.contract, client)
    tag = f"tags.`{STUDY_TAG}` = '{study.place}'"
    known = client.search_runs([own], f"{tag} AND tags.`{TRIAL_TAG}` = '{ALL}'")
    name = f"{study.contract.dataset}-tune-{study.place.rsplit('/', 1)[-1][:8]}"
    tags = {STUDY_TAG: study.place, TRIAL_TAG: ALL}
    parent = known[0] if known else client.create_run(own, run_name=name, tags=tags)
    run = str(parent.info.run_id)
    for trial in _unlogged(study, client, own, run):
        _log(study, trial, client, own, run)
    measured = {"trials": found.trials, "pruned": found.pruned, "failed": found.failed}
    errors = {"error.own": found.own_error, "error": found.best.error if found.best else None}
    now = int(time.time() * 1000)
    params = {"strategy": study.tuning.strategy, "sampler": study.tuning.sampler}
    client.log_batch(
        run,
        metrics=[
            Metric(k, v, now, found.trials)
            for k, v in {**measured, **errors}.items()
            if v is not None
        ],
        params=[Param(k, v) for k, v in params.items()],
    )
    for file in sorted(folder.iterdir()):
        client.log_artifact(run, str(file))
    client.set_terminated(run, "FINISHED")


def _unlogged(study: Study, client: "MlflowClient", own: str, parent: str) -> list[Trial]:
    """Return the trials that have no complete run yet; one left half-written is marked failed."""
    logged: set[str] = set()
    token = None
    while True:
        page = client.search_runs(
            [own], f"tags.`{PARENT_TAG}` = '{parent}'", max_results=BATCH, page_token=token
        )
        for run in page:
            if run.info.status == "FINISHED":
                logged.add(run.data.tags[TRIAL_TAG])
            elif run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "FAILED")
        token = page.token
        if not token:
            return [t for t in study.trials if str(t.number) not in logged]


def _log(study: Study, trial: Trial, client: "MlflowClient", own: str, parent: str) -> None:
    """Log one trial as a run below the study's."""
    from mlflow.entities import Metric, Param, RunTag

    tags = {PARENT_TAG: parent, STUDY_TAG: study.place, TRIAL_TAG: str(trial.number)}
    run = client.create_run(own, run_name=f"trial {trial.number}", tags=tags)
    run_id, now = str(run.info.run_id), int(time.time() * 1000)
    metrics = [Metric(k, v, now, 0) for k, v in {**trial.values, "seconds": trial.seconds}.items()]
    curve = trial.curve[: BATCH - len(metrics)]
    metrics += [Metric("val_loss", v, now, epoch) for epoch, v in enumerate(curve, 1)]
    state = {"polycast.state": trial.state, "polycast.origin": trial.origin}
    client.log_batch(
        run_id,
        metrics=metrics,
        params=[Param(f"recipe.{k}", str(v)[:6000]) for k, v in trial.recipe.items()],
        tags=[RunTag(k, v) for k, v in state.items()],
    )
    client.set_terminated(run_id, "FINISHED")
