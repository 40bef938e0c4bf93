"""Where sharing helps: the candidate's errors beside those of a network per target."""

from dataclasses import dataclass

from tasks.control import CONTROL
from tasks.report.errors_table import MOST_TARGETS, Table
from tasks.report.numbers import aligned, percent

CLEAR = 0.01
"""The least difference of two errors, as a share, that is told as one."""
HELPS, HURTS, NEITHER = "sharing helps", "sharing hurts (negative transfer)", "no clear difference"


@dataclass(frozen=True)
class Shared:
    """One target: both errors, how they differ, and what that says."""

    target: str
    unit: str
    candidate: str
    control: str
    difference: str
    words: str


@dataclass(frozen=True)
class Sharing:
    """What sharing does to every target, and to how many of them."""

    rows: tuple[Shared, ...]
    helped: int
    hurt: int
    compared: int


def sharing(table: Table) -> Sharing | None:
    """Return what sharing does to each target, None where no control was trained."""
    if CONTROL not in table.models:
        return None
    found = [s for t in table.contract.target_columns if (s := _shared(table, t))]
    words = [s.words for s in found]
    shown = set(table.first_to_look_at(MOST_TARGETS))
    rows = tuple(s for s in found if s.target in shown)
    return Sharing(rows, words.count(HELPS), words.count(HURTS), len(found))


def _shared(table: Table, target: str) -> Shared | None:
    own = table.mean("candidate", target, "rmse")
    other = table.mean(CONTROL, target, "rmse")
    if own is None or other is None:
        return None
    unit = table.contract.target_columns[target].unit
    change = own / other - 1 if other > 0 else None
    told = percent(change)
    first, second = aligned([own, other])
    return Shared(target, unit, first, second, told, _words(own, other))


def _words(own: float, other: float) -> str:
    if own < other * (1 - CLEAR):
        return HELPS
    return HURTS if own > other * (1 + CLEAR) else NEITHER
