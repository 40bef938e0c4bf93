"""Train: a network on its shards, kept as a candidate with its preprocessing.

In: a contract and Shards. Out: a Candidate with `bundle/` (its intervals come from raw
calibration rows, its reference from train rows), `seen.parquet`, `curves.json` and `layers.json`,
and with `control/` where the contract asks for a control. Under cross-validation a network per
fold, each in `folds/fold_<i>/` beside its control; `bundle/` is then the refit on all rows, or the
folds' networks together, with intervals from the folds' errors on their test rows. A run that was
killed goes on from its last checkpoint; networks that are trained are not trained again. Raises
Diverged when the loss is no number, or has risen beyond all measure, MissingPart where the device
that is asked for is not there, Unsuitable where the weights of `training.start` do not fit.
The Prefect flow that calls this stands in flows/train.py, since it runs in a process of its own.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data_contracts.columns import Target
from data_contracts.contract import Contract
from data_contracts.monitoring import Monitoring
from data_contracts.recipes.brought import brought_by
from data_contracts.split import SPLITS
from tasks.backends import backend
from tasks.compiled import keep_compiled
from tasks.fits import Desk, Fit, fit_controls, fit_divisions
from tasks.histograms import reference
from tasks.intervals import HeldBack, fit_intervals, fold_intervals, joined, residuals
from tasks.records import REFIT, Candidate, Fold, Shards
from tasks.seen import SEEN_SPLITS, write_seen
from tasks.split_rows import split_rows
from tasks.stage import Stage
from tasks.storage import root_storage
from tasks.warm_start import starting_weights

if TYPE_CHECKING:
    from tasks.learning.conformal import Conformal
    from tasks.learning.reference import Reference

log = logging.getLogger("polycast")


def train_candidate(
    contract: Contract, shards: Shards, data: Path, folder: Path, checkpoints: str | None = None
) -> Candidate:
    """Train on the shards in `data`, write the candidate into `folder`, return its record.

    `checkpoints`: the place of the work's checkpoints, from which a run that was killed goes on;
    without one, there are none.
    """
    keep_compiled()
    device = backend().use_device(contract.training.device)
    from tasks.learning.bundle import Bundle, save_bundle

    start = time.monotonic()
    desk = _desk(contract, shards, data, folder, checkpoints)
    fits = fit_divisions(contract, desk, shards.divisions)
    took = time.monotonic() - start
    controls = fit_controls(contract, desk)
    published = [f for f in fits if f.fold.index == REFIT] or fits
    intervals = _intervals(contract, fits, _files(shards, data), folder)
    found = _reference(contract, shards, [f.fold for f in published], data)
    save_bundle(Bundle([f.member for f in published], intervals, found), folder / "bundle")
    _keep_curves([*published, *(f for f in fits if f not in published)], folder)
    _keep_layers(published, folder)
    _keep_shares(published, folder)
    candidate = Candidate(
        shards=shards,
        members=len(published),
        parameters=sum(int(f.member.network.count_params()) for f in published),
        epochs=max(len(f.curve.loss) for f in published),
        best_epoch=published[0].curve.best_epoch,
        validation_loss=sum(f.curve.best_loss for f in published) / len(published),
        train_seconds=took,
        device=device,
        start=contract.training.start,
    )
    write_seen(contract, _seen_rows(contract, shards, data), folder / "seen.parquet")
    for fold, member in controls:
        save_bundle(Bundle([member]), folder / candidate.folder_of(fold) / "control")
    return candidate


def train_along(
    contract: Contract, shards: Shards, data: Path, folder: Path, checkpoints: str | None = None
) -> None:
    """Take the steps of `train_candidate` on a host that does not lead; what lies in `folder`
    afterwards is nothing that is kept."""
    keep_compiled()
    backend().use_device(contract.training.device)
    desk = _desk(contract, shards, data, folder, checkpoints)
    fit_divisions(contract, desk, shards.divisions)
    fit_controls(contract, desk)


def _desk(
    contract: Contract, shards: Shards, data: Path, folder: Path, checkpoints: str | None
) -> Desk:
    weights = starting_weights(contract, *_files(shards, data))
    return Desk(shards, data, folder, checkpoints, weights)


def _intervals(
    contract: Contract, fits: list[Fit], files: tuple[Path, Path], folder: Path
) -> "Conformal | None":
    """Return the intervals of what is published; keep the folds' bundles with theirs."""
    from tasks.learning.bundle import Bundle, save_bundle

    if len(fits) == 1:
        held = HeldBack(Bundle([fits[0].member]), fits[0].fold)
        return fit_intervals(contract, [held], *files)
    folds = [f for f in fits if f.fold.index != REFIT]
    held_back = [HeldBack(Bundle([f.member]), f.fold, "test") for f in folds]
    found = [residuals(contract, held, *files) for held in held_back]
    for fit, own in zip(folds, fold_intervals(contract, found), strict=True):
        save_bundle(Bundle([fit.member], own), folder / "folds" / fit.fold.name / "bundle")
    return joined(contract, found)


def _reference(contract: Contract, shards: Shards, folds: list[Fold], data: Path) -> "Reference":
    """Return what the train rows look like of what is published."""
    names = [fold.name for fold in folds]
    types = shards.checked.snapshot.columns
    return reference(contract, types, *_files(shards, data), names, _window(contract))


def _window(contract: Contract) -> str:
    return (contract.monitoring or Monitoring()).window


def _seen_rows(contract: Contract, shards: Shards, data: Path) -> Iterator[pa.Table]:
    """Yield the keys of all rows that anything trains, validates or calibrates on.

    Under cross-validation the intervals come from the test rows, which are seen by that.
    """
    indices = [fold.index for fold in shards.divisions]
    seen = SEEN_SPLITS if len(indices) == 1 else SPLITS
    return split_rows(*_files(shards, data), indices, seen, contract.key)


def _files(shards: Shards, data: Path) -> tuple[Path, Path]:
    """Return the files of the raw rows and of their splits."""
    snapshot = root_storage().fetch(shards.checked.snapshot.place)
    return snapshot / "rows.parquet", data / "splits.parquet"


def _keep_curves(fits: list[Fit], folder: Path) -> None:
    curves = [{"division": f.fold.name, **asdict(f.curve)} for f in fits]
    (folder / "curves.json").write_text(json.dumps(curves), "utf-8")


def _keep_layers(fits: list[Fit], folder: Path) -> None:
    from tasks.learning.sparsity import layer_weights

    layers = [[kernel._asdict() for kernel in layer_weights(f.member.network)] for f in fits]
    (folder / "layers.json").write_text(json.dumps(layers), "utf-8")


def _keep_shares(fits: list[Fit], folder: Path) -> None:
    """Write each part's share of the answer, the mean over members and targets, where the answer
    is a blend."""
    told = [f.member.settings["shares"] for f in fits if "shares" in f.member.settings]
    if told:
        names = dict.fromkeys(name for shares in told for name in shares)
        sums = {n: sum(mean(s[n]) for s in told if n in s) / len(told) for n in names}
        (folder / "shares.json").write_text(json.dumps(sums), "utf-8")


def _reads(contract: Contract) -> Any:
    """The recipe and who brings it, how it is computed, what is asked of targets, the control,
    what makes rows and blocks of rows, and how long the stretches of the reference are."""
    fields = {"output", "loss", "loss_level", "loss_weight", "group"}
    targets = {
        name: target.model_dump(mode="json", include=fields | _bounds(target))
        for name, target in contract.targets.items()
    }
    asked = contract.model_dump(mode="json", include={"target_groups", "constraints"})
    training = contract.training.model_dump(mode="json", exclude={"engine", "hosts"})
    keras = os.environ.get("KERAS_BACKEND", "tensorflow")
    recipe = contract.recipe.model_dump(mode="json")
    brought = brought_by(contract.recipe.architecture)
    control = contract.evaluation.control
    made = contract.model_dump(mode="json", include={"key", "time", "row_weight", "split"})
    window = _window(contract)
    return [recipe, brought, training, targets, asked, keras, control, made, window]


def _bounds(target: Target) -> set[str]:
    return {"bounds"} if target.output == "sigmoid" else set()


STAGE = Stage("train", "candidates", Candidate, __name__, _reads)
