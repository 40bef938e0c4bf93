"""The drift of the test rows as a table: the columns that moved most, and how many moved at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.drift import Drift
from tasks.report.numbers import MISSING, fixed, percent, plain

MOST = 20


@dataclass(frozen=True)
class Row:
    """One column."""

    column: str
    target: bool
    unit: str
    index: str
    reading: str
    moved: bool
    """Whether the reading is moderate or large."""
    range: str
    """Of the train rows."""
    outside: str
    """The share of test rows outside of it."""
    distance: str
    """How far apart the values lie, in spreads."""
    missing: str
    """By how much the share of missing values has changed."""
    labels: str
    """Labels that are new in the test rows."""


@dataclass(frozen=True)
class DriftTable:
    """The columns with the greatest index."""

    rows: tuple[Row, ...]
    columns: int
    moderate: int
    large: int
    measured: bool
    """Whether distance, missing values and labels are told: against a champion's rows."""


def drift_table(found: Sequence[Drift]) -> DriftTable | None:
    """Return the columns that moved most, None where none was looked at."""
    if not found:
        return None
    readings = [d.reading for d in found]
    return DriftTable(
        rows=tuple(map(_row, found[:MOST])),
        columns=len(found),
        moderate=readings.count("moderate"),
        large=readings.count("large"),
        measured=any(d.distance is not None or d.missing is not None for d in found),
    )


def _row(drift: Drift) -> Row:
    ends = "" if drift.low is None else f"{plain(drift.low)} to {plain(drift.high or 0.0)}"
    return Row(
        column=drift.column,
        target=drift.target,
        unit=drift.unit,
        index=fixed(drift.index, 3),
        reading=drift.reading,
        moved=drift.reading in ("moderate", "large"),
        range=ends,
        outside=_share(drift.outside),
        distance=MISSING if drift.distance is None else fixed(drift.distance, 2),
        missing=MISSING if drift.missing is None else percent(drift.missing, 1),
        labels=", ".join(drift.labels),
    )


def _share(outside: float | None) -> str:
    if outside is None:
        return MISSING
    if outside == 0:
        return "none"
    return "< 0.1 %" if outside < 0.001 else percent(outside, 1, sign=False)


def drift_rows(found: Sequence[Drift]) -> list[dict[str, Any]]:
    """Return the table as Prefect shows it: a row a column of the contract."""
    return [
        {
            "column": row.column,
            "role": "target" if row.target else "feature",
            "population stability index": row.index,
            "reading": row.reading,
            "train rows' range": f"{row.range} {row.unit}".strip(),
            "test rows outside": row.outside,
            "distance in spreads": row.distance,
            "missing": row.missing,
            "new labels": row.labels,
        }
        for row in map(_row, found)
    ]
