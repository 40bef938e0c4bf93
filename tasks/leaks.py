"""Whether a column of a row holds a target of a later row, from further ahead than the gap.

In: the first rows kept, which lie in order of the key, and a split in order of time. Such a lead,
made in the query, would bring targets of test rows into train rows, across the gap. It is told
exactly: the columns, the shift in rows and in time, and the gap that it needs.

Stretches of WINDOW rows that follow each other in a group are compared, so that values that
repeat, such as whole degrees, match by chance but rarely. A target that a feature lags is no leak:
the past is known.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.columns import NumericFeature
from data_contracts.contract import Contract
from data_contracts.duration import written
from data_contracts.split import BlockedSplit, TimeSplit, seconds
from tasks.errors import DataError
from tasks.learning.tables import label_texts, numbers
from tasks.learning.tables import seconds as moments_of
from tasks.wording import rows_of

SAMPLE_ROWS = 50_000
WINDOW = 6
"""How many rows must match in a row."""
LEAST_MATCHES = 30
ALIKE = 0.98
"""The share of pairs of known cells that are equal where one column is the other, shifted."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Leak:
    """A column that holds a target of `rows` rows later, `ahead` seconds."""

    column: str
    target: str
    rows: int
    ahead: float


def sampled_columns(contract: Contract) -> list[str]:
    """Return the columns that the check reads; none where the split has no gap."""
    if not isinstance(contract.split, TimeSplit | BlockedSplit):
        return []
    return list(dict.fromkeys([contract.time or "", *contract.key, *_suspects(contract)]))


def check_leaks(contract: Contract, rows: pa.Table) -> None:
    """Raise DataError that names every lead in `rows` that reaches across the split's gap."""
    split = contract.split
    if not isinstance(split, TimeSplit | BlockedSplit):
        return
    gap = seconds(split.gap)
    found = [leak for leak in leaks(contract, rows) if leak.ahead > gap]
    if found:
        told = "\n".join(
            f"{leak.column} holds {leak.target} of {rows_of(leak.rows)} later, "
            f"{leak.ahead / 3600:g} hours ahead: with a gap of {split.gap}, train rows would hold "
            "targets of test rows"
            for leak in found
        )
        need = written(int(np.ceil(max(leak.ahead for leak in found))))
        raise DataError(f"{told}. Set split.gap: {need} or more, or take the columns out")


def leaks(contract: Contract, rows: pa.Table) -> list[Leak]:
    """Return the columns that hold a target of later rows, at whatever distance."""
    try:
        time = moments_of(rows, contract.time or "")
    except ValueError:
        return []  # rows in the order of a number, which no gap in hours fits
    within = [c for c in contract.key if c != contract.time]
    return held_later(rows, time, within, _suspects(contract), list(contract.target_columns))


def held_later(
    rows: pa.Table, time: Float, within: list[str], columns: list[str], targets: list[str]
) -> list[Leak]:
    """Return which of some columns hold which targets of later rows.

    time: of each row, (n,), in seconds. within: the columns whose rows follow each other.
    """
    group = _groups(rows, within)
    order = np.lexsort((time, group))
    time, group = time[order], group[order]
    values = {c: numbers(rows, c)[order] for c in dict.fromkeys((*columns, *targets))}
    ours = {c: _windows(v, group) for c, v in values.items()}
    found = []
    for target in targets:
        for column in columns:
            if column != target and (shift := _shift(ours[column], ours[target])):
                leak = _proven(column, target, shift, values, time, group)
                found += [leak] if leak else []
    return found


def _suspects(contract: Contract) -> list[str]:
    numeric = (c for c, f in contract.feature_columns.items() if isinstance(f, NumericFeature))
    return list(dict.fromkeys([*numeric, *contract.target_columns]))


def _groups(rows: pa.Table, columns: list[str]) -> NDArray[np.int64]:
    """Return a number for each row's group: the rows that share the rest of the key."""
    group = np.zeros(len(rows), np.int64)
    for column in columns:
        codes = label_texts(rows, column).combine_chunks().dictionary_encode().indices
        own = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
        _, group = np.unique(group * (own.max(initial=0) + 1) + own, return_inverse=True)
    return group


Windows = tuple[NDArray[np.uint64], NDArray[np.int64]]
"""Hashes of windows, ascending and each once, and the rows where they begin."""


def _windows(values: Float, group: NDArray[np.int64]) -> Windows:
    """Return the windows that lie in one group, hold no missing cell and are met there but once."""
    count = max(0, values.size - WINDOW + 1)
    bits = (values + 0.0).view(np.uint64)  # 0.0 and -0.0 are one number
    odd = np.random.default_rng(0).integers(1, 2**63, WINDOW, np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    # A window is met in its own group alone.
    hashes = group[:count].astype(np.uint64)
    whole = np.ones(count, np.bool_)
    varies = np.zeros(count, np.bool_)
    for i in range(WINDOW):
        part = slice(i, i + count)
        hashes = (hashes ^ (bits[part] * odd[i])) * np.uint64(0x9E3779B97F4A7C15)
        whole &= np.isfinite(values[part]) & (group[part] == group[:count])
        varies |= values[part] != values[:count]
    rows = np.flatnonzero(whole & varies)
    found, first, times = np.unique(hashes[rows], return_index=True, return_counts=True)
    return found[times == 1], rows[first[times == 1]]


def _shift(column: Windows, target: Windows) -> int:
    """Return by how many rows later most windows of a column are met in a target; 0 for none."""
    _, ours, theirs = np.intersect1d(column[0], target[0], assume_unique=True, return_indices=True)
    shifts = target[1][theirs] - column[1][ours]
    ahead, counts = np.unique(shifts[shifts > 0], return_counts=True)
    if not counts.size or counts.max() < LEAST_MATCHES:
        return 0
    return int(ahead[np.argmax(counts)])


def _proven(
    column: str,
    target: str,
    shift: int,
    values: dict[str, Float],
    time: Float,
    group: NDArray[np.int64],
) -> Leak | None:
    """Return the leak where nearly all known cells of a column are the target's, shifted."""
    now, later = values[column][:-shift], values[target][shift:]
    both = np.isfinite(now) & np.isfinite(later) & (group[:-shift] == group[shift:])
    if both.sum() < LEAST_MATCHES or np.mean(now[both] == later[both]) < ALIKE:
        return None
    return Leak(column, target, shift, float(np.median((time[shift:] - time[:-shift])[both])))
