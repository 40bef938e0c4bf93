"""Further metrics, joint scores and groups: what the table of errors has no room for.

In: the Table of a run. Out: Blocks as the table of errors has them, and rows of small tables.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.contract import Contract
from tasks.records import JointScore, Metric, Scores
from tasks.report.errors_table import MOST_TARGETS, NAMES, ORDER, Block, Cell, Row, Table, mean
from tasks.report.numbers import aligned, percent, ratio

METRICS: tuple[tuple[str, Metric, bool], ...] = (
    ("Relative RMSE", "rrmse", False),
    ("Bias", "bias", True),
    ("Largest error", "max_error", True),
    ("Correlation", "correlation", False),
    ("CRPS", "crps", True),
)
"""Heading, metric, and whether it is in the target's unit."""


@dataclass(frozen=True)
class Joint:
    """One model's scores of all targets together."""

    model: str
    energy: str
    variogram: str
    coverage: tuple[str, ...]
    """By level of the view."""


@dataclass(frozen=True)
class JointTable:
    """The joint scores of every model, and the levels of the joint regions."""

    levels: tuple[str, ...]
    rows: tuple[Joint, ...]


@dataclass(frozen=True)
class Group:
    """The RMSE of a group of targets of one unit, model by model."""

    name: str
    targets: int
    unit: str
    cells: tuple[str, ...]


def further(table: Table) -> list[Block]:
    """Return the further metrics of the targets that are written out, those that exist."""
    return [_block(table, t) for t in table.first_to_look_at(MOST_TARGETS)]


def _block(table: Table, name: str) -> Block:
    target = table.contract.target_columns[name]
    rows = [_row(table, name, *m, unit=target.unit) for m in METRICS]
    likelihood = [_likelihood(table, m, name) for m in table.models]
    counts = [f"{n:,}" if (n := table.rows(m, name)) else "" for m in table.models]
    found = [r for r in rows if any(c.text for c in r.cells)]
    if any(likelihood):
        found.append(Row("Log likelihood", "nats a row", _cells(likelihood)))
    return Block(
        target=name,
        description=target.description,
        unit=target.unit,
        minor=target.tier == "minor",
        rows=table.rows("candidate", name),
        metrics=(*found, Row("Rows", "", _cells(counts))),
    )


def _row(table: Table, target: str, label: str, metric: Metric, in_unit: bool, unit: str) -> Row:
    values = [table.mean(m, target, metric) for m in table.models]
    if all(v is None for v in values):
        return Row(label, "", ())
    texts = aligned(values) if in_unit else [ratio(v) for v in values]
    return Row(label, unit if in_unit else "", _cells(texts))


def _cells(texts: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(Cell(t) for t in texts)


def _likelihood(table: Table, model: str, target: str) -> str:
    found = table.found.get((model, target), [])
    value = mean(s.distribution.log_likelihood for s in found if s.distribution)
    return "" if value is None else ratio(value)


def joint_table(scores: Scores) -> JointTable | None:
    """Return the joint scores by model, means over folds; None where there are none."""
    models = [m for m in ORDER if any(j.model == m for j in scores.joint)]
    if not models:
        return None
    levels = sorted({level for j in scores.joint for level in j.levels})
    own = {m: [j for j in scores.joint if j.model == m] for m in models}
    energy = aligned([mean(j.energy for j in own[m]) for m in models])
    variogram = aligned([mean(j.variogram for j in own[m]) for m in models])
    rows = tuple(
        Joint(NAMES.get(m, m), e, v, tuple(_covered(own[m], level) for level in levels))
        for m, e, v in zip(models, energy, variogram, strict=True)
    )
    return JointTable(tuple(percent(level, 0, sign=False) for level in levels), rows)


def _covered(found: Sequence[JointScore], level: float) -> str:
    pairs = [dict(zip(j.levels, j.coverage, strict=True)) for j in found]
    share = mean(p.get(level) for p in pairs)
    return "" if share is None or math.isnan(share) else percent(share, sign=False)


def groups(contract: Contract, table: Table) -> list[Group]:
    """Return the RMSE of each group of two targets or more that share a unit."""
    found = []
    for name, targets in contract.groups().items():
        units = {contract.target_columns[t].unit for t in targets}
        if len(units) == 1 and len(targets) > 1:
            values = [table.verdict.scores.of_group(m, targets, "rmse") for m in table.models]
            found.append(Group(name, len(targets), min(units), tuple(aligned(values))))
    return found
