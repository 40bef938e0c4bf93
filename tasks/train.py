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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.columns import Target
from data_contracts.contract import Contract
from data_contracts.monitoring import Monitoring
from data_contracts.recipes.brought import brought_by
from data_contracts.split import SPLITS
from tasks.backends import backend
from tasks.checkpoints import Checkpoints
from tasks.compiled import keep_compiled
from tasks.control import control_contract
from tasks.feed import fed
from tasks.folds_together import folds_together
from tasks.histograms import reference
from tasks.hosts import leads
from tasks.intervals import HeldBack, fit_intervals, fold_intervals, joined, residuals
from tasks.learning.errors import Diverged
from tasks.records import REFIT, Candidate, Fold, Shards
from tasks.seen import SEEN_SPLITS, write_seen
from tasks.split_rows import split_rows
from tasks.stage import Stage
from tasks.storage import root_storage
from tasks.warm_start import starting_weights

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.conformal import Conformal
    from tasks.learning.fitting import Curve
    from tasks.learning.reference import Reference

log = logging.getLogger("polycast")


@dataclass(frozen=True)
class _Desk:
    """What every training of a candidate reads, and where it may write."""

    shards: Shards
    data: Path
    scratch: Path
    checkpoints: str | None
    weights: list[NDArray[Any]] | None
    """The weights that the candidate begins with."""

    def keeper(self, name: str, whose: str) -> Checkpoints | None:
        """Return where the checkpoints of a division lie, or of several; apart for a control."""
        place, role = self.checkpoints, "-control" if whose else ""
        return None if place is None else Checkpoints(f"{place}/{name}{role}")


@dataclass(frozen=True, eq=False)
class _Fit:
    """What was trained on one division of the rows."""

    fold: Fold
    member: "Member"
    curve: "Curve"


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
    fits = _fits(contract, desk, shards.divisions)
    took = time.monotonic() - start
    controls = _controls(contract, desk)
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
    backend().use_device(contract.training.device)
    desk = _desk(contract, shards, data, folder, checkpoints)
    _fits(contract, desk, shards.divisions)
    _controls(contract, desk)


def _desk(
    contract: Contract, shards: Shards, data: Path, folder: Path, checkpoints: str | None
) -> _Desk:
    weights = starting_weights(contract, *_files(shards, data))
    return _Desk(shards, data, folder, checkpoints, weights)


def _intervals(
    contract: Contract, fits: list[_Fit], files: tuple[Path, Path], folder: Path
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


def _keep_curves(fits: list[_Fit], folder: Path) -> None:
    curves = [{"division": f.fold.name, **asdict(f.curve)} for f in fits]
    (folder / "curves.json").write_text(json.dumps(curves), "utf-8")


def _keep_layers(fits: list[_Fit], folder: Path) -> None:
    from tasks.learning.sparsity import layer_weights

    layers = [[kernel._asdict() for kernel in layer_weights(f.member.network)] for f in fits]
    (folder / "layers.json").write_text(json.dumps(layers), "utf-8")


def _keep_shares(fits: list[_Fit], folder: Path) -> None:
    """Write each part's share of the answer, the mean over members and targets, where the answer
    is a blend."""
    told = [f.member.settings["shares"] for f in fits if "shares" in f.member.settings]
    if told:
        names = dict.fromkeys(name for shares in told for name in shares)
        sums = {n: sum(mean(s[n]) for s in told if n in s) / len(told) for n in names}
        (folder / "shares.json").write_text(json.dumps(sums), "utf-8")


def _controls(contract: Contract, desk: _Desk) -> "list[tuple[Fold, Member]]":
    """Return the control's member of each fold, where the contract asks for a control. A fault
    says that it is the control's.

    They are trained before anything is written: other hosts train along.
    """
    control, own = control_contract(contract), replace(desk, weights=None)
    if control is None:
        return []
    try:
        fits = _fits(control, own, desk.shards.folds, "the control's ")
    except Diverged as fault:
        fault.add("This was the control, not the candidate: evaluation.control: none leaves it out")
        raise
    return [(fit.fold, fit.member) for fit in fits]


def _fits(
    contract: Contract, desk: _Desk, divisions: Sequence[Fold], whose: str = ""
) -> list[_Fit]:
    """Return what was trained on divisions of the rows; the folds together where they can be."""
    folds = [fold for fold in divisions if fold.index != REFIT]
    found = folds_together(
        contract,
        [desk.data / fold.name for fold in folds],
        lambda i: _teller(contract, desk.shards, folds[i], whose, len(folds)),
        lambda name: desk.keeper(name, whose),
        desk.weights,
    )
    fits = {f.name: _Fit(f, *own) for f, own in zip(folds, found, strict=True) if own}
    return [fits.get(fold.name) or _fit(contract, desk, fold, whose) for fold in divisions]


def _fit(contract: Contract, desk: _Desk, fold: Fold, whose: str = "") -> _Fit:
    """Return the member trained on one division of the rows, and its learning curve."""
    from tasks.learning.fitting import fit_member
    from tasks.learning.preprocessing import Preprocessing

    shards, place = desk.shards, desk.data / fold.name
    keeper = desk.keeper(fold.name, whose)
    fitted = Preprocessing.from_json((place / "preprocessing.json").read_text("utf-8"))
    tell = _teller(contract, shards, fold, whose)
    try:
        with fed(place, desk.scratch, keeper) as (train, validation):
            member, curve = fit_member(
                contract, fitted, train, validation, tell, backend(), keeper, desk.weights
            )
    except Diverged as fault:
        if len(shards.divisions) > 1:
            fault.add(f"This was the {_words(shards, fold)}")
        raise keep_last_good(contract, fault) from None
    return _Fit(fold, member, curve)


def _words(shards: Shards, fold: Fold) -> str:
    return "refit" if fold.index == REFIT else f"fold {fold.index + 1} of {len(shards.folds)}"


def keep_last_good(contract: Contract, fault: Diverged) -> Diverged:
    """Keep the member as it last was good, where it ever was; return the fault, which says so."""
    from tasks.learning.bundle import Bundle, save_bundle

    if fault.member is None or not leads():
        return fault
    place = f"diverged/{contract.dataset}/{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    with root_storage().write(place) as job:
        save_bundle(Bundle([fault.member]), job.folder / "bundle")
    where = root_storage().address(place, "bundle")
    fault.add(f"The weights of epoch {fault.good_epoch}, the last good ones, are in {where}")
    return fault


def _teller(contract: Contract, shards: Shards, fold: Fold, whose: str, together: int = 1) -> Any:
    """Return what tells of each epoch on the log, for whoever draws a bar; None on a host that
    does not lead.

    Folds that are trained `together`, so many, are one part that is as large as all of them.
    """
    if not leads():
        return None
    epochs, parts, rows = contract.recipe.epochs, len(shards.divisions), fold.rows["train"]
    part = parts - 1 if fold.index == REFIT else fold.index
    which = f"{whose}{_words(shards, fold)}: " if parts > 1 else whose
    share: dict[str, float] = {"part": part, "parts": parts}
    if together > 1:
        share = {"part": 0, "parts": parts / together}
    before = time.monotonic()

    def tell(epoch: int, loss: float, val_loss: float, losses: Mapping[str, float]) -> None:
        nonlocal before
        seconds, before = time.monotonic() - before, time.monotonic()
        news: dict[str, Any] = {
            "epoch": epoch,
            "epochs": epochs,
            "loss": loss,
            "val_loss": val_loss,
            "rate": rows / max(seconds, 1e-9),
            "losses": dict(losses),
        }
        news |= {"which": which} | share
        text = which + "epoch %d of at most %d: loss %.4f, validation %.4f, %s rows/s"
        extra = {"stage": "train", "state": "epoch"} | news
        log.info(text, epoch, epochs, loss, val_loss, f"{news['rate']:,.0f}", extra=extra)

    return tell


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
