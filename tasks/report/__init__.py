"""Report: the run folder, with one HTML page for people and one manifest to repeat the run by.

In: a contract and a Publication. Out: a Run with `report.html`, `run.json`, `contract.json` and
`drift.json` (how far the test rows have moved from the train rows, by column: from the champion's
where it keeps histograms of them). The folder is
whole when its manifest is there, and is never edited afterwards.
"""

import json
import shlex
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from tasks.champion_drift import champion_drift
from tasks.drift import Drift, drift
from tasks.environment import environment
from tasks.orchestration import markdown, stage_task, table
from tasks.records import Publication, Record, Run
from tasks.stage import Stage
from tasks.storage import Storage, root_storage

STAGE = Stage("report", "runs", Run, __name__, lambda contract: contract.model_dump(mode="json"))


def write_run(contract: Contract, publication: Publication, run_id: str, folder: Path) -> Run:
    """Write the report, the manifest and the contract into `folder`; return the Run."""
    from prefect.runtime import flow_run

    from tasks.report.page import write_report
    from tasks.report.sources import ReportSources

    storage = root_storage()
    records = chain(publication)
    stages = {name: _stage(storage, record) for name, record in records.items()}
    versions = environment()
    scores = storage.fetch(records["evaluate"].place)
    candidate = storage.fetch(records["train"].place)
    ended = datetime.now(UTC)
    moved, champion = _drift(contract, storage, publication)
    sources = ReportSources(
        predictions=scores / "predictions.parquet",
        curves=candidate / "curves.json",
        layers=candidate / "layers.json",
        shares=_where_it_is(candidate / "shares.json"),
        slices=_where_it_is(scores / "slices.parquet"),
        importance=_where_it_is(scores / "importance.json"),
        drift=moved,
        drift_from=f"the rows that version {champion} was trained on" if champion else "",
        versions=versions["packages"],
        run_id=run_id,
        ended=ended,
        seconds={name: entry["seconds"] for name, entry in stages.items()},
        links={
            "data docs": storage.address(records["validate"].place, "data_docs/index.html"),
            "shards": storage.address(records["preprocess"].place, "splits.parquet"),
            "MLflow run": publication.tracking_run,
        },
        reproduce=reproduce(storage, folder),
    )
    write_report(contract, publication, sources, folder / "report.html")
    (folder / "contract.json").write_text(contract.model_dump_json(indent=1), "utf-8")
    (folder / "drift.json").write_text(json.dumps([asdict(d) for d in moved], indent=1), "utf-8")
    manifest = {
        "run": run_id,
        "ended": ended.isoformat(timespec="seconds"),
        "dataset": contract.dataset,
        "seed": contract.recipe.seed,
        "stages": stages,
        "splits": {"file": storage.address(records["preprocess"].place, "splits.parquet")},
        "environment": versions,
        "contract": contract.model_dump(mode="json"),
    }
    (folder / "run.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    return Run(
        id=run_id,
        dataset=contract.dataset,
        outcome=publication.outcome,
        publication=publication,
        flow_run=flow_run.id,
    )


def chain(publication: Publication) -> dict[str, Record]:
    """Return the record of every stage that led to a publication, first to last."""
    verdict = publication.verdict
    scores = verdict.scores
    candidate = scores.candidate
    checked = candidate.shards.checked
    return {
        "ingest": checked.snapshot,
        "validate": checked,
        "preprocess": candidate.shards,
        "train": candidate,
        "evaluate": scores,
        "judge": verdict,
        "publish": publication,
    }


def reproduce(storage: Storage, folder: Path) -> str:
    """Return the command that repeats the run: its contract holds all that was asked for.

    On a remote root the file has no path: it is named as it lies beside the page.
    """
    file = str(folder / "contract.json") if storage.local else "contract.json"
    return f"polycast retrain {shlex.quote(file)}"


def _drift(
    contract: Contract, storage: Storage, publication: Publication
) -> tuple[list[Drift], str | None]:
    """Return the drift from the champion's train rows, and its number; from the candidate's own
    where there is no champion, or it keeps no histograms."""
    scores = publication.verdict.scores
    shards = scores.candidate.shards
    rows = storage.fetch(shards.checked.snapshot.place) / "rows.parquet"
    splits = storage.fetch(shards.place) / "splits.parquet"
    found = champion_drift(contract, shards, rows, splits, scores.champion)
    if found is not None:
        return found, scores.champion
    return drift(contract, shards, rows, splits), None


def _where_it_is(file: Path) -> Path | None:
    return file if file.exists() else None


def _stage(storage: Storage, record: Record) -> dict[str, Any]:
    manifest = storage.manifest(record.place) or {}
    return {
        "place": record.place,
        "hash": record.hash,
        "files": manifest.get("files", {}),
        "seconds": manifest.get("seconds", 0.0),
        "written": manifest.get("written", ""),
    }


def show_tables(contract: Contract, publication: Publication, run: Run) -> None:
    """Publish the page's own tables as artifacts: importance and drift."""
    from tasks.report.drift_table import drift_rows
    from tasks.report.errors_table import Table
    from tasks.report.importance import importance, importance_rows

    storage = root_storage()
    scores = storage.fetch(publication.verdict.scores.place)
    file = _where_it_is(scores / "importance.json")
    found = importance(Table(contract, publication.verdict), file)
    if found:
        about = "By how much each target's RMSE grows when a feature is shuffled"
        table(contract.dataset, "importance", importance_rows(found), about)
    content = (storage.fetch(run.place) / "drift.json").read_text("utf-8")
    moved = drift_rows([Drift(**d) for d in json.loads(content)])
    if moved:
        table(contract.dataset, "drift", moved, "How far the test rows moved from train rows")


@stage_task
def report(contract: Contract, publication: Publication) -> Run:
    """Write the run folder and link its report."""
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    run = STAGE.run(
        contract,
        publication.hash,
        place=f"runs/{contract.dataset}/{run_id}",
        work=lambda folder: write_run(contract, publication, run_id, folder),
    )
    show_tables(contract, publication, run)
    address = root_storage().address(run.place, "report.html")
    # A browser opens no file from a page of a server: the address is there to be copied.
    text = f"Open this in a browser:\n\n```\n{address}\n```\n\nRun `{run.id}`."
    markdown(contract.dataset, "report", text, "Curves, errors and the verdict, on one page")
    return run
