"""Train: one member per fold on its shards, kept as a candidate with its preprocessing.

In: a contract and Shards. Out: a Candidate with `bundle/`, `curves.json` and `layers.json`, and
with `control/` where the contract asks for a control. Raises Diverged when the loss is no
number, MissingPart where the device that is asked for is not there.
The Prefect flow that calls this stands in flows/train.py, since it runs in a process of its own.
"""

import json
import logging
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.columns import Target
from data_contracts.contract import Contract
from data_contracts.recipes.brought import brought_by
from tasks.backends import backend
from tasks.control import control_contract
from tasks.learning.errors import Diverged
from tasks.records import Candidate, Shards
from tasks.stage import Stage
from tasks.storage import root_storage

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.fitting import Curve

log = logging.getLogger("polycast")


def train_candidate(contract: Contract, shards: Shards, data: Path, folder: Path) -> Candidate:
    """Train on the shards in `data`, write the candidate into `folder`, return its record."""
    device = backend().use_device(contract.training.device)
    from tasks.learning.bundle import Bundle, save_bundle
    from tasks.learning.sparsity import layer_weights

    start = time.monotonic()
    control = control_contract(contract)
    members, curves = _members(contract, shards, data)
    save_bundle(Bundle(members), folder / "bundle")
    (folder / "curves.json").write_text(json.dumps([asdict(c) for c in curves]), "utf-8")
    layers = [[kernel._asdict() for kernel in layer_weights(m.network)] for m in members]
    (folder / "layers.json").write_text(json.dumps(layers), "utf-8")
    candidate = Candidate(
        shards=shards,
        members=len(members),
        parameters=sum(int(m.network.count_params()) for m in members),
        epochs=max(len(c.loss) for c in curves),
        best_epoch=curves[0].best_epoch,
        validation_loss=sum(c.best_loss for c in curves) / len(curves),
        train_seconds=time.monotonic() - start,
        device=device,
    )
    if control is not None:
        save_bundle(Bundle(_control(control, shards, data)), folder / "control")
    return candidate


def _control(control: Contract, shards: Shards, data: Path) -> "list[Member]":
    """Return the control's members. A fault says that it is the control's."""
    try:
        return _members(control, shards, data, "the control's ")[0]
    except Diverged as fault:
        fault.add("This was the control, not the candidate: evaluation.control: none leaves it out")
        raise


def _members(
    contract: Contract, shards: Shards, data: Path, whose: str = ""
) -> "tuple[list[Member], list[Curve]]":
    """Return a trained member per fold, and their learning curves."""
    from tasks.learning.fitting import fit_member
    from tasks.learning.preprocessing import Preprocessing
    from tasks.learning.shards import read_shard

    members, curves = [], []
    for fold in shards.folds:
        place = data / f"fold_{fold.index}"
        train, validation = (read_shard(place / f"{s}.parquet") for s in ("train", "validation"))
        fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
        tell, slopes = _teller(contract, whose), backend().gradients
        try:
            member, curve = fit_member(contract, fitted, train, validation, tell, slopes)
        except Diverged as fault:
            raise keep_last_good(contract, fault) from None
        members.append(member)
        curves.append(curve)
    return members, curves


def keep_last_good(contract: Contract, fault: Diverged) -> Diverged:
    """Keep the member as it last was good, where it ever was; return the fault, which says so."""
    from tasks.learning.bundle import Bundle, save_bundle

    if fault.member is None:
        return fault
    place = f"diverged/{contract.dataset}/{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    with root_storage().write(place) as job:
        save_bundle(Bundle([fault.member]), job.folder / "bundle")
    where = root_storage().address(place, "bundle")
    fault.add(f"The weights of epoch {fault.good_epoch}, the last good ones, are in {where}")
    return fault


def _teller(contract: Contract, whose: str) -> Any:
    """Return what tells of each epoch on the log, for whoever draws a bar."""
    epochs = contract.recipe.epochs

    def tell(epoch: int, loss: float, val_loss: float) -> None:
        news = {"epoch": epoch, "epochs": epochs, "loss": loss, "val_loss": val_loss}
        text = whose + "epoch %d of at most %d: loss %.4f, validation %.4f"
        extra = {"stage": "train", "state": "epoch"} | news
        log.info(text, epoch, epochs, loss, val_loss, extra=extra)

    return tell


def _reads(contract: Contract) -> Any:
    """The recipe and who brings it, how it is computed, what is asked of targets, the control."""
    fields = {"output", "loss", "loss_level", "loss_weight", "group"}
    targets = {
        name: target.model_dump(mode="json", include=fields | _bounds(target))
        for name, target in contract.targets.items()
    }
    asked = contract.model_dump(mode="json", include={"target_groups", "constraints"})
    training = contract.training.model_dump(mode="json", exclude={"engine"})
    keras = os.environ.get("KERAS_BACKEND", "tensorflow")
    recipe = contract.recipe.model_dump(mode="json")
    brought = brought_by(contract.recipe.architecture)
    control = contract.evaluation.control
    return [recipe, brought, training, targets, asked, keras, control]


def _bounds(target: Target) -> set[str]:
    return {"bounds"} if target.output == "sigmoid" else set()


STAGE = Stage("train", "candidates", Candidate, __name__, _reads)
