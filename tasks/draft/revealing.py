"""Features that give a target away are left out of a draft, and told.

In: a Plan with its features, and rows to look at. Out: the Plan with fewer features, with
warnings, and with the columns that its targets are of later rows.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.database import columns, quoted
from tasks.draft.content import Plan
from tasks.draft.copies import copies, shifted
from tasks.wording import rows_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SAMPLE_ROWS = 20_000
"""So many rows are looked at for copies and leads."""
MOST_CELLS = 50_000_000
"""Of more columns, fewer rows are looked at."""


def sample(plan: Plan, database: "duckdb.DuckDBPyConnection") -> "pa.Table":
    """Return some rows, in order of time where there is one, with the columns to look at."""
    names = _numbers(plan)
    within = [c for c in plan.key.columns if c in plan.facts and c not in names]
    group = [plan.wish.group] if plan.wish.group else []
    wanted = dict.fromkeys([*names, *plan.targets, *within, *group])
    if plan.time:
        wanted[plan.time] = None
    count = max(1000, min(SAMPLE_ROWS, MOST_CELLS // max(1, len(wanted))))
    order = f" ORDER BY {quoted(plan.time)}" if plan.time else ""
    query = f"SELECT {columns(list(wanted))} FROM source{order} LIMIT {count}"
    return database.sql(query).to_arrow_table()


def _numbers(plan: Plan) -> list[str]:
    """Return the features that are compared with the targets."""
    return [
        m.name
        for m in plan.features
        if not m.left and plan.facts[m.name].kind in ("number", "flag")
    ]


def leave_out(plan: Plan, rows: "pa.Table") -> None:
    """Leave out the features that give a target away, and note what the targets look ahead to."""
    names, targets = _numbers(plan), list(plan.targets)
    found = {c.feature: c.words for c in copies(rows, names, targets)}
    rest = [n for n in names if n not in found]
    own = dict.fromkeys([*filter(None, [plan.wish.group]), *plan.key.columns])
    within = [c for c in own if c in rows.column_names and c != plan.time]
    within = [c for c in within if not plan.facts[c].unique]
    future, ahead = shifted(rows, _moments(plan, rows), within, rest, targets)
    for leak in future:
        words = f"holds the target {leak.target} of {rows_of(leak.rows)} later"
        found.setdefault(leak.column, words)
    for name, words in found.items():
        plan.warnings.append(f"{name} {words}: left out, since it would give the target away")
    plan.features = [
        replace(m, left=found[m.name]) if m.name in found else m for m in plan.features
    ]
    if plan.time is None:
        return
    for leak in ahead:
        if leak.target not in found:
            plan.presents.setdefault(leak.column, leak.target)
            plan.ahead = max(plan.ahead, leak.ahead)


def _moments(plan: Plan, rows: "pa.Table") -> Any:
    from tasks.learning.tables import seconds as moments_of

    if plan.time is None:
        return np.arange(len(rows), dtype=np.float64)
    return moments_of(rows, plan.time)
