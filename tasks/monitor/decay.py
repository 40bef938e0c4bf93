"""A champion's errors on recent rows beside those on its test rows, target by target.

In: recent rows, the bundle, the errors that were recorded when it was published. Out: a Decay a
target. The interval of the ratio is that of a studentized block bootstrap over stretches of time,
groups or rows (`tasks.learning.paired`), with the recorded error in the place of the other model.
That error is an estimate too: as the variance of such a ratio falls with the rows, the interval is
widened by the root of 1 + recent rows / test rows. It holds for all targets at once (Bonferroni).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import GroupSplit
from tasks.database import connect, literal
from tasks.histograms import is_timed
from tasks.learning.held import TornError
from tasks.learning.paired import Order, Paired, effects
from tasks.learning.tables import numbers, seconds
from tasks.monitor.found import Decay
from tasks.monitor.recent import Recent
from tasks.seen import key_hashes
from tasks.usual import moments

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle

Values = NDArray[np.float64]
BLOCK_ROWS = 8_192
BLOCKS = 512
"""Into how many stretches of time, groups or parts rows fall at most."""
CONFIDENCE = 0.95
"""With what probability the intervals of all targets hold the truth."""


@dataclass(frozen=True)
class Recorded:
    """One target's error on the test rows of a version."""

    error: float
    rows: int


@dataclass
class _Sums:
    """By block and target, over rows whose truth is known: weights and squared errors."""

    weight: Values
    squares: Values
    rows: NDArray[np.int64]


def decays(
    contract: Contract,
    recent: Recent,
    bundle: "Bundle",
    recorded: Mapping[str, Recorded],
    limit: float,
) -> list[Decay]:
    """Return the decay of each target of the champion's `contract` that recent rows have.

    A target has decayed where its error has grown by the share `limit` and its interval shows
    any growth.
    """
    order, count, place = _blocks(contract, recent)
    sums = _summed(contract, recent, bundle, count, place)
    names = list(contract.target_columns)
    known = [recorded.get(n) for n in names]
    squares = np.array([k.error**2 if k else np.nan for k in known])
    found = effects(
        sums.weight,
        sums.squares,
        sums.weight * np.where(squares > 0, squares, 1.0),
        metric="rmse",
        order=order,
        margin=0.0,
        confidence=1 - (1 - CONFIDENCE) / len(names),
        critical=[False] * len(names),
    )
    return [
        _decay(contract, name, sums, i, known[i], found.targets[i], limit)
        for i, name in enumerate(names)
        if name in recent.types
    ]


def _decay(
    contract: Contract,
    name: str,
    sums: _Sums,
    i: int,
    recorded: Recorded | None,
    effect: Paired | str,
    limit: float,
) -> Decay:
    unit, rows = contract.target_columns[name].unit, int(sums.rows[i])
    own = Decay(target=name, unit=unit, rows=rows, recorded=recorded.error if recorded else None)
    weight = float(sums.weight[:, i].sum())
    if not weight:
        return own.model_copy(update={"note": "no truth has come yet"})
    error = math.sqrt(float(sums.squares[:, i].sum()) / weight)
    own = own.model_copy(update={"error": error})
    if recorded is None or not recorded.error:
        return own.model_copy(update={"note": "the version does not say its error on test rows"})
    ratio = error / recorded.error
    own = own.model_copy(update={"ratio": ratio})
    if isinstance(effect, str):
        return own.model_copy(update={"note": effect})
    wider = math.sqrt(1 + rows / max(recorded.rows, 1))
    low, high = (ratio * (end / ratio) ** wider for end in (effect.low, effect.high))
    decayed = ratio >= 1 + limit and low > 1
    return own.model_copy(update={"low": low, "high": high, "decayed": decayed})


def _blocks(contract: Contract, recent: Recent) -> tuple[Order, int, Any]:
    """Return what blocks are made of, how many there are, and what tells each row's."""
    if isinstance(contract.split, GroupSplit):
        own = contract.model_copy(update={"key": contract.split.columns})
        return "group", BLOCKS, lambda rows: _hashed(own, rows)
    if is_timed(contract, recent.types):
        edges = _edges(contract, recent)
        time = contract.time or ""
        return (
            "time",
            len(edges) + 1,
            lambda rows: np.searchsorted(edges, seconds(rows, time), side="right"),
        )
    return "rows", BLOCKS, lambda rows: _hashed(contract, rows)


def _hashed(contract: Contract, rows: pa.Table) -> NDArray[np.int64]:
    return (key_hashes(contract, rows) % np.uint64(BLOCKS)).astype(np.int64)


def _edges(contract: Contract, recent: Recent) -> Values:
    """Return the times, as seconds, that cut the rows into stretches of about as many rows."""
    shares = ", ".join(repr(i / BLOCKS) for i in range(1, BLOCKS))
    asked = f"quantile_disc({moments(contract.time or '')}, [{shares}])"
    with connect([recent.file]) as database:
        query = f"SELECT {asked} FROM read_parquet({literal(str(recent.file))})"
        ((cuts,),) = database.execute(query).fetchall()
    return np.unique(np.array(cuts or [], np.float64)) / 1e6


def _summed(contract: Contract, recent: Recent, bundle: "Bundle", count: int, place: Any) -> _Sums:
    names = list(contract.target_columns)
    shape = count, len(names)
    sums = _Sums(np.zeros(shape), np.zeros(shape), np.zeros(len(names), np.int64))
    for rows in _read(recent):
        truth = _truths(contract, rows, names)
        if np.isnan(truth).all():
            continue
        gap = predicted(bundle, rows) - truth
        weight = _weights(contract, rows)
        blocks = place(rows)
        for i in range(len(names)):
            seen = np.isfinite(gap[:, i]) & (weight > 0)
            own, at = weight[seen], blocks[seen]
            sums.weight[:, i] += np.bincount(at, own, count)
            sums.squares[:, i] += np.bincount(at, own * gap[seen, i] ** 2, count)
            sums.rows[i] += int(seen.sum())
    return sums


def _read(recent: Recent) -> Iterator[pa.Table]:
    with pq.ParquetFile(recent.file) as file:
        for batch in file.iter_batches(BLOCK_ROWS):
            yield pa.Table.from_batches([batch])


def _truths(contract: Contract, rows: pa.Table, names: Sequence[str]) -> Values:
    """Return truths (rows, targets), NaN where none has come or it is out of its bounds."""
    found = np.full((len(rows), len(names)), np.nan)
    for i, name in enumerate(names):
        if name in rows.column_names:
            values = numbers(rows, name).copy()
            low, high = contract.target_columns[name].bounds or (None, None)
            # What is impossible is no truth: a retrain would set such rows aside.
            with np.errstate(invalid="ignore"):
                values[values < (-np.inf if low is None else low)] = np.nan
                values[values > (np.inf if high is None else high)] = np.nan
            found[:, i] = values
    return found


def _weights(contract: Contract, rows: pa.Table) -> Values:
    if contract.row_weight is None:
        return np.ones(len(rows))
    return np.nan_to_num(numbers(rows, contract.row_weight))


def predicted(bundle: "Bundle", rows: pa.Table) -> Values:
    """Return predictions (rows, targets), NaN for rows whose limits contradict each other."""
    asked = np.ones(len(rows), bool)
    while True:
        some = rows if asked.all() else rows.filter(pa.array(asked))
        try:
            with np.errstate(all="ignore"):
                values = bundle.predict(some).mean
            break
        except TornError as error:
            asked[np.flatnonzero(asked)[error.row]] = False
    whole = np.full((len(rows), values.shape[1]), np.nan)
    whole[asked] = values
    return whole
