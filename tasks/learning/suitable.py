"""Whether train rows suit each target's output and transform, before anything is fitted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.learning.errors import Unsuitable
from tasks.learning.tables import numbers

if TYPE_CHECKING:
    from data_contracts.columns import Target
    from data_contracts.contract import Contract

ROUNDING = 1e-6
"""How far, in shares of the whole, shares may be from adding up to it."""


@dataclass(frozen=True)
class Break:
    """A demand that some values break: the first of them, and how many there are."""

    place: int
    """The demand's place among all."""
    who: str
    needs: str
    came: float
    where: str
    count: int
    mend: str

    @property
    def words(self) -> str:
        """The fault in words."""
        rows = "the only such train row" if self.count == 1 else f"{self.count:,} such train rows"
        came = f"came {self.came:.9g} at {self.where} ({rows})"
        return f"{self.who} needs {self.needs}, {came}: {self.mend}"


@dataclass(frozen=True)
class _Demand:
    """What values must be, where they are not, and the mend."""

    who: str
    needs: str
    values: NDArray[np.float64]
    broken: NDArray[np.bool_]
    mend: str

    def told(self, place: int, train: pa.Table) -> Break:
        """Return what is broken, with the first value that breaks it."""
        first, count = int(np.argmax(self.broken)), int(self.broken.sum())
        where = f"row {first} of the train rows"
        if "_row" in train.column_names:
            where = f"_row {train['_row'][first].as_py()}"
        came = float(self.values[first])
        return Break(place, self.who, self.needs, came, where, count, self.mend)


def breaks(contract: "Contract", train: pa.Table) -> list[Break]:
    """Return the demands that the values of some train rows break."""
    # One at a time: all targets' values together may be more than memory holds.
    demands = enumerate(chain(_targets(contract, train), _wholes(contract, train)))
    return [d.told(i, train) for i, d in demands if d.broken.any()]


def joined(found: Iterable[Break]) -> list[Break]:
    """Return the breaks of blocks of rows, given in their order, as those of all rows."""
    whole: dict[int, Break] = {}
    for one in found:
        have = whole.get(one.place)
        whole[one.place] = replace(have, count=have.count + one.count) if have else one
    return [whole[place] for place in sorted(whole)]


def refuse(found: Sequence[Break]) -> None:
    """Raise Unsuitable, which names every target whose train values do not suit it."""
    if found:
        raise Unsuitable("\n".join(one.words for one in found))


def _targets(contract: "Contract", train: pa.Table) -> Iterator[_Demand]:
    for column, target in contract.target_columns.items():
        values = numbers(train, column)
        for who, needs, broken, other in _limits(target, values):
            mend = f"mend those rows, set them aside by bounds, or choose {other}"
            yield _Demand(f"{column}: {who}", needs, values, broken, mend)


def _limits(target: "Target", values: NDArray[Any]) -> Iterator[tuple[str, str, Any, str]]:
    """Yield who demands, what, where it is broken and what else could be chosen."""
    output, other = f"output: {target.output}", "output: linear"
    match target.output:
        case "softplus" | "relu":
            yield output, "values of 0 or more", values < 0, other
        case "exp":
            yield output, "values above 0", values <= 0, "output: softplus"
        case "sigmoid" if target.bounds is not None:
            least, greatest = target.bounds
            outside = (values < least) | (values > greatest)
            yield output, f"values from {least:g} to {greatest:g}", outside, "wider bounds"
    if target.transform == "log1p":
        yield "transform: log1p", "values above -1", values <= -1, "transform: yeo_johnson"


def _wholes(contract: "Contract", train: pa.Table) -> Iterator[_Demand]:
    groups = contract.groups()
    for name, group in contract.target_groups.items():
        if group.whole is None:
            continue
        columns = groups[name]
        shares = np.stack([numbers(train, c) for c in columns], axis=1)
        slack = ROUNDING * group.whole
        for column, values in zip(columns, shares.T, strict=True):
            mend = "mend those rows, or choose output: linear for the group's targets"
            who = f"{column}: output: softmax"
            yield _Demand(who, "shares of 0 or more", values, values < -slack, mend)
        # A row with a missing share is NaN, which breaks nothing.
        total = shares.sum(axis=1)
        needs = f"shares that add up to {group.whole:g} ({' + '.join(columns)})"
        mend = f"mend those rows or target_groups.{name}.whole, or choose output: linear"
        broken = np.abs(total - group.whole) > slack
        yield _Demand(f"{name}: output: softmax", needs, total, broken, mend)
