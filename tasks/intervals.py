"""Intervals: how far a bundle's predictions lie from truths that it has not learned from.

In: a contract, bundles with the folds whose rows they were held back from, raw rows and splits.
Out: Conformal intervals, or None where no such row knows a target. Rows are read in blocks
through the same bundle that is published; of very many, a share is taken by the hash of the key.

What a block of calibration rows is follows from how the rows were split. Random: each row by
itself, since new rows come from among the others. Group: a group, since new rows come from new
groups. Time: a stretch of time as long as a target's errors remember one another, measured on
its scores (tasks/learning/time_blocks.py), since new rows come later. Where a column says the
splits: stretches of time if rows have a time, else rows. The gap of a time split has no say: it
tells how far features reach back, and blocks that long make intervals wider than need be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import GroupSplit, RandomSplit, TimeSplit
from tasks.learning.tables import numbers, seconds
from tasks.records import Fold
from tasks.seen import key_hashes
from tasks.split_rows import split_rows

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle
    from tasks.learning.conformal import Conformal, Order

Values = NDArray[np.float64]

MOST_ROWS = 1 << 18
"""The most rows of a split that are looked at: they know a level of 0.99 to within 0.0004."""
MOST_CELLS = 1 << 25
"""The most scores that are kept: rows times targets, 8 bytes each."""


@dataclass(frozen=True)
class HeldBack:
    """A bundle, and the fold whose validation rows and `split` rows it has not learned from."""

    bundle: "Bundle"
    fold: Fold
    split: str = "calibration"


@dataclass(frozen=True)
class Residuals:
    """How far truths lie from the predictions of a bundle that has not learned from them."""

    lengths: Sequence[float]
    """Each target's length, in its unit."""
    scores: Values
    """How many lengths (rows, targets) lie between; NaN where the target is missing."""
    weight: Values
    """What each row (rows,) counts."""
    place: NDArray[Any]
    """What decides the block of each row (rows,)."""


def fit_intervals(
    contract: Contract, held: Sequence[HeldBack], rows: Path, splits: Path
) -> "Conformal | None":
    """Return intervals from the rows that bundles were held back from, all taken together."""
    return joined(contract, [residuals(contract, each, rows, splits) for each in held])


def fold_intervals(contract: Contract, found: Sequence[Residuals]) -> "list[Conformal | None]":
    """Return the intervals of each fold's bundle under cross-validation, given all their residuals.

    They come from the other folds of the repeat, in order of time from the earlier ones, so that
    the fold's own test rows can show how many truths intervals hold. Each score of a repeat is of
    a model that has not learned from its row, and all are made alike: they are exchangeable as far
    as the rows are. In order of time the first fold has none.
    """
    folds = contract.evaluation.folds or 1
    in_time = isinstance(contract.split, TimeSplit)
    made = []
    for i, own in enumerate(found):
        repeat = range(i // folds * folds, i if in_time else (i // folds + 1) * folds)
        made.append(joined(contract, [found[j] for j in repeat if j != i], own.lengths))
    return made


def residuals(contract: Contract, held: HeldBack, rows: Path, splits: Path) -> Residuals:
    """Return the residuals of a bundle on the rows that it was held back from."""
    lengths = _lengths(contract, held, rows, splits)
    parts = list(_parts(contract, held, lengths, rows, splits))
    if not parts:
        return Residuals(lengths, np.empty((0, len(lengths))), np.empty(0), np.empty(0))
    return Residuals(lengths, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def joined(
    contract: Contract, found: Sequence[Residuals], lengths: Sequence[float] | None = None
) -> "Conformal | None":
    """Return intervals from residuals taken together; None where they know no target.

    For a model that has learned from all rows, give those of the folds' bundles on their test
    rows (cross-conformal prediction: Vovk 2015). `lengths` are of the bundle that the intervals are
    for, where it has its own; else those of the residuals, in the root mean square.
    """
    from tasks.learning.conformal import fit_conformal

    parts = [(each.scores, each.weight, each.place) for each in found if each.scores.size]
    if not parts:
        return None
    scores, weight, place = (np.concatenate(part) for part in zip(*parts, strict=True))
    if np.isnan(scores).all():
        return None
    if lengths is None:
        lengths = np.sqrt(np.mean(np.square([each.lengths for each in found]), axis=0)).tolist()
    return fit_conformal(scores, place, lengths, _order(contract), weight)


def _lengths(contract: Contract, held: HeldBack, rows: Path, splits: Path) -> list[float]:
    """Return each target's root mean square residual on validation rows, in its unit.

    They stop training, and are not calibrated on, as a length must not be. A target that they do
    not know, or whose residuals are nothing, has the deviation of its train rows.
    """
    usual = held.bundle.members[0].preprocessing.scalers
    squares, weights = np.zeros((2, len(usual)))
    for block in _read(contract, held.fold, "validation", rows, splits):
        residual = _truth(contract, block) - held.bundle.predict(block).mean
        weight = np.where(np.isnan(residual), 0.0, _weight(contract, block)[:, None])
        squares += np.nansum(weight * residual**2, axis=0)
        weights += weight.sum(axis=0)
    mean = np.divide(squares, weights, out=np.zeros_like(squares), where=weights > 0)
    return [m**0.5 if m > 0 else s.size for m, s in zip(mean.tolist(), usual, strict=True)]


def _parts(
    contract: Contract, held: HeldBack, lengths: Sequence[float], rows: Path, splits: Path
) -> Iterator[tuple[Values, Values, NDArray[Any]]]:
    """Yield scores (n, targets), weights (n,) and what decides the blocks (n,) of held-back rows,
    in blocks."""
    from tasks.learning.conformal import row_scores

    for block in _read(contract, held.fold, held.split, rows, splits):
        found = held.bundle.predict(block)
        scores = row_scores(_truth(contract, block), found, lengths)
        yield scores, _weight(contract, block), _place(contract, block)


def _read(
    contract: Contract, fold: Fold, split: str, rows: Path, splits: Path
) -> Iterator[pa.Table]:
    """Yield a split's raw rows, or the share of them that is looked at."""
    most = min(MOST_ROWS, MOST_CELLS // len(contract.target_columns))
    share = most / max(fold.rows.get(split, 0), 1)
    for block in split_rows(rows, splits, [fold.index], [split], contract.columns(), True):
        if share < 1:
            near = key_hashes(contract, block) < np.uint64(share * 2.0**64)
            block = block.filter(pa.array(near))
        if len(block):
            yield block


def _truth(contract: Contract, rows: pa.Table) -> Values:
    return np.stack([numbers(rows, target) for target in contract.target_columns], axis=1)


def _weight(contract: Contract, rows: pa.Table) -> Values:
    if contract.row_weight is None:
        return np.ones(len(rows))
    return np.nan_to_num(numbers(rows, contract.row_weight))


def _order(contract: Contract) -> "Order":
    match contract.split:
        case GroupSplit():
            return "group"
        case RandomSplit():
            return "rows"
        case _:
            return "time" if contract.time else "rows"


def _place(contract: Contract, rows: pa.Table) -> NDArray[Any]:
    """Return of each row its group's hash, its time in seconds, or its key's hash."""
    split = contract.split
    if isinstance(split, GroupSplit):
        return key_hashes(contract.model_copy(update={"key": split.columns}), rows)
    if _order(contract) == "time":
        return seconds(rows, contract.time or "")
    return key_hashes(contract, rows)
