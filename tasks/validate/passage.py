"""Whether a bad row has been released from what it breaks, and so goes on.

In: Outcomes, the rows' file, and what is released. Out: Outcomes without the released rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.releases import Offence
from tasks.storage import digest
from tasks.validate.check import Check
from tasks.validate.engine import Outcome
from tasks.validate.quarantine import rows_at


def offence(contract: Contract, check: Check, cells: Mapping[str, Any]) -> Offence:
    """Return what a row breaks, by its key, the expectation and the values that it judges.

    A check that names no columns judges all that the row holds.
    """
    names = check.columns or tuple(c for c in cells if c not in ("_row", "_reasons"))
    judged = [[c, cells.get(c)] for c in names]
    return _key(contract, cells), _hash([check.words, judged])


def let_through(
    contract: Contract, outcomes: Sequence[Outcome], rows: Path, released: frozenset[Offence]
) -> list[Outcome]:
    """Return the outcomes without the rows that are released from them.

    `rows` numbers its rows from 0 in `_row`, in order. Where an expectation has more bad rows than
    are named, none of them goes on: the others would go on unseen.
    """
    if not released:
        return list(outcomes)
    free = _free(contract, outcomes, rows, released)
    return [_without(outcome, free.get(i, set())) for i, outcome in enumerate(outcomes)]


def _free(
    contract: Contract, outcomes: Sequence[Outcome], rows: Path, released: frozenset[Offence]
) -> dict[int, set[int]]:
    """Return the rows that are released, by the place of the outcome that they are released of."""
    keys = {key for key, _ in released}
    broken: dict[int, list[int]] = {}
    for place, outcome in enumerate(outcomes):
        for row in outcome.rows if len(outcome.rows) == outcome.unexpected else ():
            broken.setdefault(row, []).append(place)
    free: dict[int, set[int]] = {}
    with pq.ParquetFile(rows) as source:
        for batch in rows_at(source, np.array(sorted(broken), np.int64)):
            for cells in batch.to_pylist():
                if _key(contract, cells) in keys:
                    row = cells["_row"]
                    for place in broken[row]:
                        if offence(contract, outcomes[place].check, cells) in released:
                            free.setdefault(place, set()).add(row)
    return free


def _without(outcome: Outcome, free: set[int]) -> Outcome:
    rows = [row for row in outcome.rows if row not in free]
    return replace(
        outcome, rows=rows, unexpected=outcome.unexpected - len(free), released=len(free)
    )


def _key(contract: Contract, cells: Mapping[str, Any]) -> str:
    return _hash([[c, cells.get(c)] for c in contract.key])


def _hash(value: Any) -> str:
    return digest(value)[:16]
