"""The worst slices: parts of the test rows in which the candidate is surely worse.

In: a contract, Scores and `slices.parquet`, where there is one. Out: views for the page.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.records import Scores, SliceScore
from tasks.report.errors_table import NAMES, ORDER
from tasks.report.numbers import aligned, fixed

MOST = 20


@dataclass(frozen=True)
class Row:
    """One slice of one target: errors in its unit, and how much worse than on all rows."""

    slice: str
    target: str
    unit: str
    rows: int
    errors: tuple[str, ...]
    """The RMSE of the candidate, then of each other model of the view."""
    ratio: str
    low: str


@dataclass(frozen=True)
class Worst:
    """What the section shows. `looked_at` counts slices times targets."""

    looked_at: int
    models: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int


def worst(contract: Contract, scores: Scores, file: Path | None) -> Worst | None:
    """Return the slices that are surely worse, worst first; None where none was looked at."""
    if file is None and not scores.worst:
        return None
    shown = scores.worst[:MOST]
    named = {m for s in shown for m in s.others}
    models = [m for m in ORDER if m in named]
    return Worst(
        looked_at=pq.read_metadata(file).num_rows if file else 0,
        models=tuple(NAMES.get(m, m) for m in models),
        rows=tuple(_row(contract, s, models) for s in shown),
        left_out=len(scores.worst) - len(shown),
    )


def _row(contract: Contract, score: SliceScore, models: list[str]) -> Row:
    target = contract.target_columns.get(score.target)
    return Row(
        slice=score.slice,
        target=score.target,
        unit=target.unit if target else "",
        rows=score.rows,
        errors=tuple(aligned([score.rmse, *(score.others.get(m) for m in models)])),
        ratio=fixed(score.ratio, 2),
        low=fixed(score.low, 2),
    )
