"""How the rows of a draft are divided: in time with a gap, by groups, or at random.

In: Facts, the key, and how far ahead the targets lie. Out: the contract's split, with a note.
"""

import math
from typing import Any

from tasks.draft.facts import Fact
from tasks.draft.keys import Key

STEPS = 24
"""The gap that is suggested, in steps from row to row in time."""
SPAN = 0.01
"""The most that a gap takes of the time there is."""


def division(
    time: Fact | None, group: Fact | None, key: Key, ahead: float
) -> tuple[dict[str, Any], str]:
    """Return the split of rows with a time, of groups, or of neither, and a note on it.

    `ahead` is how many seconds the targets lie ahead.
    """
    if time:
        note = "keep the gap longer than any lag and lead that a row holds"
        return {"kind": "time", "gap": _gap(time, ahead)}, note
    if group:
        note = f"about {group.distinct:,} groups, each whole in one split"
        return {"kind": "group", "columns": [group.name]}, note
    if key.repeated:
        note = "rows that share the rest of the key share a split"
        return {"kind": "group", "columns": list(key.columns[:-1])}, note
    return {"kind": "random"}, "where rows belong together: {kind: group, columns: [COLUMN]}"


def duration(wanted: float) -> str:
    """Return the shortest duration of no less seconds, in the greatest unit that fits."""
    whole = math.ceil(wanted)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if whole >= 2 * size or (whole and whole % size == 0):
            return f"{math.ceil(whole / size)}{unit}"
    return f"{whole}s"


def _gap(time: Fact, ahead: float) -> str:
    """Return a gap of some steps in time, and longer than any lead."""
    span = (time.most or 0.0) - (time.least or 0.0)
    step = span / max(1, time.distinct - 1)
    return duration(max(min(STEPS * step, SPAN * span), ahead + step if ahead else 0.0))
