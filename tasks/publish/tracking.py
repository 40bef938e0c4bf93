"""MLflow's record of a run: parameters, curves, scores, contract, fitted numbers, environment."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks.environment import environment
from tasks.experiment import experiment
from tasks.publish.tags import decision_tags
from tasks.records import Verdict
from tasks.registry import AS_OF_TAG, DATA_TAG, VERDICT_TAG
from tasks.storage import Storage

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""The most metrics that MLflow takes in one call."""


def track(contract: Contract, verdict: Verdict, storage: Storage, client: "MlflowClient") -> str:
    """Return the id of the MLflow run that records a verdict; it is made where absent.

    A run that was left half-written is marked failed and made again.
    """
    own = experiment(contract, client)
    tag = f"tags.`{VERDICT_TAG}` = '{verdict.hash}'"
    for run in client.search_runs([own], tag):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        client.set_terminated(run.info.run_id, "FAILED")
    return _record(contract, verdict, storage, client, own)


def _record(
    contract: Contract, verdict: Verdict, storage: Storage, client: "MlflowClient", own: str
) -> str:
    from mlflow.entities import Metric, Param, RunTag

    candidate = verdict.scores.candidate
    shards = candidate.shards
    snapshot = shards.checked.snapshot
    tags = {
        VERDICT_TAG: verdict.hash,
        "polycast.candidate": candidate.hash,
        DATA_TAG: snapshot.hash,
        "polycast.source": snapshot.source,
        "polycast.contract": contract.dataset,
        **decision_tags(verdict),
    }
    if verdict.scores.as_of is not None:
        tags[AS_OF_TAG] = verdict.scores.as_of
    run = client.create_run(own, run_name=f"{contract.dataset}-{candidate.hash[:8]}", tags=tags)
    run_id = str(run.info.run_id)
    params = {f"recipe.{k}": v for k, v in contract.recipe.model_dump(mode="json").items()}
    params |= {f"training.{k}": v for k, v in contract.training.model_dump(mode="json").items()}
    data = storage.fetch(candidate.place)
    now = int(time.time() * 1000)
    metrics = [Metric(k, v, now, step) for k, v, step in _metrics(verdict, data)]
    client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    client.log_batch(run_id, tags=[RunTag(f"contract.{t}", "tag") for t in contract.tags])
    _artifacts(contract, verdict, storage, client, run_id)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _metrics(verdict: Verdict, candidate: Path) -> list[tuple[str, float, int]]:
    found: list[tuple[str, float, int]] = []
    for i, curve in enumerate(json.loads((candidate / "curves.json").read_text("utf-8"))):
        for name in ("loss", "val_loss"):
            values = curve[name]
            key = name if i == 0 else f"{curve['division']}.{name}"
            found += [(key, value, epoch) for epoch, value in enumerate(values, 1)]
    for score in verdict.scores.scores:
        for metric in ("mae", "rmse", "r2"):
            value = getattr(score, metric)
            if value is not None:
                found.append((f"test.{score.target}.{score.model}.{metric}", value, score.fold))
    return found


def _artifacts(
    contract: Contract, verdict: Verdict, storage: Storage, client: "MlflowClient", run_id: str
) -> None:
    candidate = verdict.scores.candidate
    client.log_text(run_id, contract.model_dump_json(indent=1), "contract.json")
    client.log_text(run_id, verdict.model_dump_json(indent=1, exclude={"scores"}), "verdict.json")
    client.log_text(run_id, json.dumps(environment(), indent=1), "environment.json")
    folds = storage.fetch(candidate.shards.place)
    for fold in candidate.shards.divisions:
        client.log_artifact(run_id, str(folds / fold.name / "preprocessing.json"), fold.name)
    checked = storage.fetch(candidate.shards.checked.place)
    client.log_artifact(run_id, str(checked / "validation.json"))
