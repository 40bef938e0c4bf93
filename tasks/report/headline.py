"""The three numbers that decided: each as a reader would say it, beside its limit.

In: a contract and a Verdict. Out: small frozen views for the page's head.
"""

import math
from dataclasses import dataclass

from data_contracts.contract import Contract
from tasks.records import Effect, Ruling, Verdict
from tasks.report.decision import RulingView, State, deciding
from tasks.report.numbers import MISSING, percent, plain

MOST = 3
"""How many numbers are shown."""
UNITS = ("MB", "ms", "days")
"""What is measured of a model, beside what its targets are in."""


@dataclass(frozen=True)
class Number:
    """One ruling's number, with its unit, and its limit likewise."""

    state: State
    ruling: Ruling
    value: str
    limit: str


@dataclass(frozen=True)
class Headline:
    """The numbers, and how many more rulings failed or cannot be told."""

    numbers: tuple[Number, ...]
    failed: int
    unsure: int


def headline(contract: Contract, verdict: Verdict) -> Headline:
    """Return the three numbers that decided, the decisive ones first."""
    views = deciding(verdict)
    rest = [v.state for v in views[MOST:]]
    numbers = tuple(_number(contract, verdict, v) for v in views[:MOST])
    return Headline(numbers, rest.count("failed"), rest.count("unsure"))


def _number(contract: Contract, verdict: Verdict, view: RulingView) -> Number:
    ruling = view.ruling
    if _is_change(ruling, verdict.effects):
        value, limit = (MISSING if v is None else percent(v - 1) for v in _ends(ruling))
    else:
        unit = _unit(contract, ruling)
        value, limit = (MISSING if v is None else f"{plain(v)}{unit}" for v in _ends(ruling))
    return Number(view.state, ruling, value, limit)


def _ends(ruling: Ruling) -> tuple[float | None, float | None]:
    return ruling.value, ruling.limit


def _is_change(ruling: Ruling, effects: tuple[Effect, ...]) -> bool:
    """Whether the value is one of an effect's ratios, which reads best as a change in percent."""
    value = ruling.value
    if value is None:
        return False
    own = [e for e in effects if ruling.target in (e.target, "all")]
    return any(math.isclose(value, r, rel_tol=1e-9) for e in own for r in (e.ratio, e.low, e.high))


def _unit(contract: Contract, ruling: Ruling) -> str:
    """Return the unit that the reason gives the value in, with a space before; none if it has
    none."""
    if ruling.value is None:
        return ""
    target = contract.target_columns.get(ruling.target)
    texts = [f"{ruling.value:{form}}" for form in (".4g", ".3g", ".1f")]
    units = [*([target.unit] if target else []), *UNITS]
    return next((f" {u}" for u in units for t in texts if f"{t} {u}" in ruling.reason), "")
