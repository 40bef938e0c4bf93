"""Train: one member per fold on its shards, kept as a candidate with its preprocessing.

In: a contract and Shards. Out: a Candidate with `bundle/` and `curves.json`. Raises Diverged
when the loss is no number, MissingPart where the device that is asked for is not there.
The Prefect flow that calls this stands in flows/train.py, since it runs in a process of its own.
"""

import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from tasks.backends import backend
from tasks.records import Candidate, Shards
from tasks.stage import Stage

log = logging.getLogger("polycast")


def train_candidate(contract: Contract, shards: Shards, data: Path, folder: Path) -> Candidate:
    """Train on the shards in `data`, write the candidate into `folder`, return its record."""
    device = backend().use_device(contract.training.device)
    from tasks.learning.bundle import Bundle, Member, save_bundle
    from tasks.learning.fitting import fit_network
    from tasks.learning.preprocessing import Preprocessing
    from tasks.learning.shards import read_shard

    start = time.monotonic()
    members, curves = [], []
    for fold in shards.folds:
        place = data / f"fold_{fold.index}"
        train, validation = (read_shard(place / f"{s}.parquet") for s in ("train", "validation"))
        network, curve = fit_network(contract, train, validation, _teller(contract))
        text = (place / "preprocessing.json").read_text("utf-8")
        members.append(Member(network, Preprocessing.from_json(text)))
        curves.append(curve)
    save_bundle(Bundle(members), folder / "bundle")
    (folder / "curves.json").write_text(json.dumps([asdict(c) for c in curves]), "utf-8")
    return Candidate(
        shards=shards,
        members=len(members),
        parameters=sum(int(m.network.count_params()) for m in members),
        epochs=max(len(c.loss) for c in curves),
        best_epoch=curves[0].best_epoch,
        validation_loss=sum(min(c.val_loss) for c in curves) / len(curves),
        train_seconds=time.monotonic() - start,
        device=device,
    )


def _teller(contract: Contract) -> Any:
    """Return what tells of each epoch on the log, for whoever draws a bar."""
    epochs = contract.recipe.epochs

    def tell(epoch: int, loss: float, val_loss: float) -> None:
        news = {"epoch": epoch, "epochs": epochs, "loss": loss, "val_loss": val_loss}
        text = "epoch %d of at most %d: loss %.4f, validation %.4f"
        extra = {"stage": "train", "state": "epoch"} | news
        log.info(text, epoch, epochs, loss, val_loss, extra=extra)

    return tell


def _reads(contract: Contract) -> Any:
    """The recipe, how it is computed, and what the loss needs of each target."""
    columns = contract.target_columns.items()
    targets = [[c, t.output, t.loss, t.loss_weight] for c, t in columns]
    training = contract.training.model_dump(mode="json", exclude={"engine"})
    keras = os.environ.get("KERAS_BACKEND", "tensorflow")
    return [contract.recipe.model_dump(mode="json"), training, targets, keras]


STAGE = Stage("train", "candidates", Candidate, __name__, _reads)
