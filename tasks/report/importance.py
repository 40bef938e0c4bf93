"""Permutation importance: by how much the error grows when a feature tells nothing.

In: `importance.json`: by feature and target, by what share of it shuffling the feature among the
test rows raises the RMSE. Out: a table for the page, in percent.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tasks.report.errors_table import Table
from tasks.report.numbers import MISSING, percent

Shares = dict[str, dict[str, float]]

MOST_FEATURES = 15
MOST_TARGETS = 12


@dataclass(frozen=True)
class Cell:
    """A feature's importance for one target, and its share of the target's greatest one."""

    text: str
    shade: float


@dataclass(frozen=True)
class Row:
    """One feature, a cell a target."""

    feature: str
    description: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Importance:
    """The features that matter most, most important first."""

    targets: tuple[str, ...]
    rows: tuple[Row, ...]
    features: int
    """How many features there are."""


def importance(table: Table, file: Path | None) -> Importance | None:
    """Return the features that matter most to the targets that are shown; None without any.

    Features are in order of their mean importance over those targets.
    """
    shares: Shares = {} if file is None else json.loads(file.read_text("utf-8"))
    known = {t for by_target in shares.values() for t in by_target}
    targets = [t for t in table.first_to_look_at(MOST_TARGETS) if t in known]
    if not targets:
        return None
    ranked = sorted(shares, key=lambda f: -sum(shares[f].get(t, 0.0) for t in targets))
    top = {t: max(by_target.get(t, 0.0) for by_target in shares.values()) for t in targets}
    return Importance(
        targets=tuple(targets),
        rows=tuple(_row(table, f, shares[f], top) for f in ranked[:MOST_FEATURES]),
        features=len(ranked),
    )


def _row(table: Table, feature: str, shares: dict[str, float], top: dict[str, float]) -> Row:
    meaning = table.contract.features.get(feature)
    return Row(
        feature=feature,
        description=meaning.description if meaning else "",
        cells=tuple(_cell(shares.get(t), top[t]) for t in top),
    )


def _cell(share: float | None, top: float) -> Cell:
    if share is None:
        return Cell(MISSING, 0.0)
    return Cell(
        percent(share, 0 if share >= 0.1 else 1),
        round(max(0.0, share / top), 2) if top > 0 else 0.0,
    )


def importance_rows(view: Importance) -> list[dict[str, str]]:
    """Return the table as Prefect shows it: a row a feature, a column a target."""
    return [
        {"feature": r.feature} | {t: c.text for t, c in zip(view.targets, r.cells, strict=True)}
        for r in view.rows
    ]
