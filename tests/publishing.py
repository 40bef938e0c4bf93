"""Candidates whose files are all in storage, ready to be published; and who publishes them."""

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks import publish, registry
from tasks.journal import ChampionMoved, mend
from tasks.learning.bundle import save_bundle
from tasks.passing import passes
from tasks.preprocess import write_shards
from tasks.records import Candidate, Checked, Publication, Score, Scores, Shards, Snapshot, Verdict
from tasks.seen import write_seen
from tasks.storage import digest, root_storage
from tasks.train import train_candidate
from tests.builders import CANDIDATE, small_contract, small_rows
from tests.untrained import untrained_bundle


def prepare(contract: Contract, rows: pa.Table, name: str = "one") -> Shards:
    """Write rows and their shards into storage, as the stages before training leave them."""
    storage, hash_ = root_storage(), digest(name)
    places = [f"{folder}/small/{name}" for folder in ("snapshots", "validations", "shards")]
    snapshot = Snapshot(place=places[0], hash=hash_, rows=len(rows), columns={}, source="5eed")
    with storage.write(places[0]) as job:
        pq.write_table(rows, job.folder / "rows.parquet")
        job.record = snapshot.model_dump(mode="json")
    checked = Checked(
        place=places[1], hash=hash_, snapshot=snapshot, rows=len(rows), quarantined=0,
        expectations=0,
    )  # fmt: skip
    with storage.write(places[1]) as job:
        pq.write_table(rows.slice(0, 0).select(["_row"]), job.folder / "quarantine.parquet")
        (job.folder / "validation.json").write_text("{}", "utf-8")
        job.record = checked.model_dump(mode="json")
    with storage.write(places[2]) as job:
        files = (storage.fetch(p) for p in places[:2])
        names = ("rows.parquet", "quarantine.parquet")
        data = [folder / file for folder, file in zip(files, names, strict=True)]
        shards = write_shards(contract, checked, data[0], data[1], job.folder)
        shards = shards.model_copy(update={"place": places[2], "hash": hash_})
        job.record = shards.model_dump(mode="json")
    return shards


def trained(contract: Contract, shards: Shards, name: str) -> Candidate:
    """Train a candidate, and keep it in storage."""
    place = f"candidates/small/{name}"
    with root_storage().write(place) as job:
        made = train_candidate(contract, shards, root_storage().fetch(shards.place), job.folder)
        made = made.model_copy(update={"place": place, "hash": digest(name)})
        job.record = made.model_dump(mode="json")
    return made


def untrained(shards: Shards, name: str) -> Candidate:
    """Keep a candidate in storage whose network is as it was before training."""
    place = f"candidates/small/{name}"
    changes = {"shards": shards, "place": place, "hash": digest(name)}
    made = CANDIDATE.model_copy(update=changes)
    with root_storage().write(place) as job:
        save_bundle(untrained_bundle(small_contract()), job.folder / registry.BUNDLE)
        curve = '[{"division": "fold_0", "loss": [1.0], "val_loss": [1.0]}]'
        (job.folder / "curves.json").write_text(curve, "utf-8")
        write_seen(small_contract(), [small_rows(4)], job.folder / registry.SEEN)
        job.record = made.model_dump(mode="json")
    return made


def judged(candidate: Candidate, **changes: Any) -> Verdict:
    """Return the passed verdict on a candidate that halves the train mean's error."""
    current = registry.champion("small")
    against = registry.opponent("small", candidate.hash)
    scores = [
        Score(
            fold=0, model=model, target=target, rows=90, mae=rmse, rmse=rmse, r2=0.5, skill={},
            candidate={} if model == "candidate" else {"mae": 1.0, "rmse": 1.0},
        )
        for model, rmse in (("candidate", 1.0), ("mean", 2.0))
        for target in ("a", "b")
    ]  # fmt: skip
    number = against.version if against else None
    seal = digest([candidate.hash, number, bool(current), changes])
    found = Scores(candidate=candidate, scores=tuple(scores), champion=number)
    return Verdict(scores=found, outcome="pass", rulings=(), hash=seal, **changes)


def published(contract: Contract, candidate: Candidate) -> Publication:
    """Judge and publish a candidate, and judge it again where the champion has moved: what a
    retrain does once it has trained. Faults that pass are tried again, as the stage's task does."""
    while True:
        try:
            mend(contract.registered_model)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's own
                return _published(contract, judged(candidate))
        except ChampionMoved:
            continue
        except Exception as error:
            if not passes(error):
                raise
            time.sleep(0.2)


def _published(contract: Contract, verdict: Verdict) -> Publication:
    candidate = verdict.scores.candidate
    return publish.STAGE.run(
        contract,
        verdict.hash,
        work=lambda _: publish.publish_verdict(contract, candidate, verdict),
        holds=publish.stands,
    )


def publish_here(settings: dict[str, str], place: str, log: str, fuse: float | None) -> None:
    """Publish the candidate at a place; what a process of its own runs.

    fuse: the seconds after which it is killed; never when None.
    """
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)  # of the test before, whose processes had the same server
    os.environ.update(settings)
    with Path(log).open("a", encoding="utf-8", buffering=1) as stream:
        os.dup2(stream.fileno(), 2)
        made = Candidate.model_validate((root_storage().manifest(place) or {})["record"])
        if fuse is not None:
            threading.Timer(fuse, os.kill, (os.getpid(), signal.SIGKILL)).start()
        found = published(small_contract(), made)
        stream.write(f"{place} is version {found.version}\n")
        stream.flush()
    os._exit(0)  # the fuse would be waited for
