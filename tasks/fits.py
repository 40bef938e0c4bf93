"""A network for each division of a candidate's rows, and the controls beside them.

In: a contract and the desk: the shards, and where may be written. Out: a Fit for each division.
Raises Diverged, MissingPart and Unsuitable. What was trained before a kill is not trained again.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.backends import backend
from tasks.checkpoints import Checkpoints
from tasks.control import control_contract
from tasks.feed import fed
from tasks.folds_together import folds_together
from tasks.hosts import leads
from tasks.learning.errors import Diverged
from tasks.records import REFIT, Fold, Shards
from tasks.storage import root_storage

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.fitting import Curve

log = logging.getLogger("polycast")


@dataclass(frozen=True)
class Desk:
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
class Fit:
    """What was trained on one division of the rows."""

    fold: Fold
    member: "Member"
    curve: "Curve"


def fit_controls(contract: Contract, desk: Desk) -> "list[tuple[Fold, Member]]":
    """Return the control's member of each fold, where the contract asks for a control. A fault
    says that it is the control's.

    They are trained before anything is written: other hosts train along.
    """
    control, own = control_contract(contract), replace(desk, weights=None)
    if control is None:
        return []
    try:
        fits = fit_divisions(control, own, desk.shards.folds, "the control's ")
    except Diverged as fault:
        fault.add("This was the control, not the candidate: evaluation.control: none leaves it out")
        raise
    return [(fit.fold, fit.member) for fit in fits]


def fit_divisions(
    contract: Contract, desk: Desk, divisions: Sequence[Fold], whose: str = ""
) -> list[Fit]:
    """Return what was trained on divisions of the rows; the folds together where they can be."""
    folds = [fold for fold in divisions if fold.index != REFIT]
    found = folds_together(
        contract,
        [desk.data / fold.name for fold in folds],
        lambda i: _teller(contract, desk.shards, folds[i], whose, len(folds)),
        lambda name: desk.keeper(name, whose),
        desk.weights,
    )
    fits = {f.name: Fit(f, *own) for f, own in zip(folds, found, strict=True) if own}
    return [fits.get(fold.name) or _fit(contract, desk, fold, whose) for fold in divisions]


def _fit(contract: Contract, desk: Desk, fold: Fold, whose: str = "") -> Fit:
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
    return Fit(fold, member, curve)


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
