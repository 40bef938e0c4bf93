"""Intervals: how many truths lie inside, how wide they are, and where the truth falls.

In: a contract and the run's Table. Out: views for the page, and the numbers that are plotted.
"""

import math
from dataclasses import dataclass

import numpy as np

from tasks.records import Distribution
from tasks.report.errors_table import MOST_TARGETS, Table, mean
from tasks.report.numbers import MISSING, aligned, percent, ratio

TOLD = (0.5, 0.9, 0.95)
"""The levels that the table shows, where there are any of them; else the first three."""


@dataclass(frozen=True)
class Row:
    """One target: by level the share of truths inside and the mean width in its unit."""

    target: str
    unit: str
    cells: tuple[tuple[str, str], ...]
    error: str
    rows: int


@dataclass(frozen=True)
class Curve:
    """One target's coverage by level, and the histogram of its truths' places."""

    target: str
    levels: tuple[float, ...]
    coverage: tuple[float, ...]
    pit: tuple[float, ...]


@dataclass(frozen=True)
class Intervals:
    """What the section shows."""

    levels: tuple[str, ...]
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    unbounded: int
    """How many targets have a level whose interval reaches without end."""


def intervals(table: Table) -> Intervals | None:
    """Return the candidate's intervals, means over folds; None where it has none."""
    shown = table.first_to_look_at(MOST_TARGETS)
    found = {t: d for t in shown if (d := _over_folds(table, t)) and (d.levels or d.pit)}
    if not found:
        return None
    every = sorted({level for d in found.values() for level in d.levels})
    levels = [level for level in TOLD if level in every] or every[:3]
    return Intervals(
        levels=tuple(percent(level, 0, sign=False) for level in levels),
        rows=tuple(_row(table, t, d, levels) for t, d in found.items() if d.levels),
        curves=tuple(Curve(t, d.levels, d.coverage, d.pit) for t, d in found.items()),
        unbounded=sum(not all(map(math.isfinite, d.width)) for d in found.values()),
    )


def _over_folds(table: Table, target: str) -> Distribution | None:
    """Return the mean over folds of a target's distribution scores."""
    own = [s.distribution for s in table.found.get(("candidate", target), []) if s.distribution]
    if not own:
        return None
    first = own[0]
    alike = [d for d in own if d.levels == first.levels and len(d.pit) == len(first.pit)]
    return Distribution(
        crps=float(np.mean([d.crps for d in alike])),
        levels=first.levels,
        coverage=tuple(np.mean([d.coverage for d in alike], axis=0).tolist()),
        width=tuple(np.mean([d.width for d in alike], axis=0).tolist()),
        pit=tuple(np.mean([d.pit for d in alike], axis=0).tolist()),
        calibration_error=mean(d.calibration_error for d in alike),
    )


def _row(table: Table, target: str, found: Distribution, levels: list[float]) -> Row:
    covered = dict(zip(found.levels, found.coverage, strict=True))
    width = dict(zip(found.levels, found.width, strict=True))
    widths = aligned([width.get(level) for level in levels])
    shares = [percent(covered.get(level), sign=False) for level in levels]
    error = found.calibration_error
    return Row(
        target=target,
        unit=table.contract.target_columns[target].unit,
        cells=tuple(zip(shares, widths, strict=True)),
        error=MISSING if error is None else ratio(error),
        rows=table.rows("candidate", target),
    )
