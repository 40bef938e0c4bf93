"""A linear relation between targets, features and numbers, counted and held in units.

In: a contract's constraints. Out: Relations, plain data that travels as JSON with a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.tables import as_table, numbers

if TYPE_CHECKING:
    from data_contracts.contract import Contract

Values = NDArray[np.float64]
Given = tuple[Values, Values]
"""What features and numbers add to a relation, (rows,), and how large that is: NaN for missing."""
RELATIVE = 1e-6
"""The slack of a relation that names no tolerance, as a share of the size of its terms."""
ROUNDING = 1e-9
"""What is never counted as broken, as a share of the same: sums of floats are not exact."""
HELD = 1e-10
"""What is taken for held when predictions are enforced, as a share of the same."""


@dataclass(frozen=True)
class Relation:
    """The sum of coefficient * target, coefficient * feature and a number, which is at most 0;
    exactly 0 where `equal`."""

    words: str
    """As the contract says it."""
    targets: tuple[tuple[int, float], ...]
    """The positions of targets with their coefficients."""
    features: tuple[tuple[str, float], ...] = ()
    """Columns of the raw rows with their coefficients."""
    constant: float = 0.0
    equal: bool = False
    tolerance: float | None = None
    """How far the sum may lie off, in its units; None for the default."""

    @property
    def plain(self) -> bool:
        """Whether it compares two values as they are, so that no rounding is in it."""
        ones = sorted(c for _, c in (*self.targets, *self.features)) == [-1.0, 1.0]
        return ones and self.constant == 0 and not self.equal

    def given(self, rows: Any) -> Given:
        """Return what the raw rows (Arrow or pandas) add. Raises ValueError for an absent column
        and for one of other things than numbers."""
        count = len(rows)
        total, size = np.full(count, self.constant), np.full(count, abs(self.constant))
        table = as_table(rows, [c for c, _ in self.features])
        for column, coefficient in self.features:
            term = coefficient * numbers(table, column)
            total, size = total + term, size + np.abs(term)
        return total, size

    def excess(self, values: Values, given: Given) -> Values:
        """Return how far values (rows, …, targets) lie above 0, (rows, …); NaN where a cell that
        it needs is missing."""
        total: Values = _spread(given[0], values).copy()
        for position, coefficient in self.targets:
            total += coefficient * values[..., position]
        return total

    def broken(self, values: Values, given: Given, slack: float | None = None) -> NDArray[np.bool_]:
        """Return where values (rows, …, targets) break it, (rows, …): beyond its tolerance, or
        beyond `slack` of its terms' size. Where a cell is missing nothing is broken."""
        excess = self.excess(values, given)
        off = np.abs(excess) if self.equal else excess
        if self.plain and (slack is not None or self.tolerance is None):
            return off > 0
        size = _spread(given[1], values).copy()
        for position, coefficient in self.targets:
            size += np.abs(coefficient * values[..., position])
        if slack is not None:
            return off > slack * size
        own = RELATIVE * size if self.tolerance is None else self.tolerance
        return off > np.maximum(own, ROUNDING * size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Relation":
        """Return the relation that `to_dict` made plain."""
        pairs = {k: tuple((n, c) for n, c in content[k]) for k in ("targets", "features")}
        return cls(**content | pairs)


@dataclass(frozen=True)
class Count:
    """On how many rows a relation could be checked, and how many of them break it."""

    rows: int
    broken: int


def count(relations: Sequence[Relation], values: Values, rows: Any) -> dict[str, Count]:
    """Return each relation's words with its counts over point values (rows, targets) in units.

    A row without a target or feature that the relation names does not count. Raises ValueError
    as Relation.given does.
    """
    found = {}
    for relation in relations:
        given = relation.given(rows)
        known = ~np.isnan(relation.excess(values, given))
        broken = relation.broken(values, given)
        found[relation.words] = Count(int(known.sum()), int(broken.sum()))
    return found


def relations_of(contract: "Contract", enforced: bool = False) -> tuple[Relation, ...]:
    """Return the contract's constraints that name a target; only the `enforced` ones if asked."""
    order = {target: i for i, target in enumerate(contract.target_columns)}
    return tuple(_relations(contract, order, enforced))


def _relations(contract: "Contract", order: dict[str, int], enforced: bool) -> Iterator[Relation]:
    for constraint in contract.constraints:
        linear = constraint.linear
        terms = linear.coefficients.items()
        targets = tuple((order[c], v) for c, v in terms if c in order)
        features = tuple((c, v) for c, v in terms if c not in order)
        if targets and (constraint.enforce or not enforced):
            yield Relation(
                constraint.holds, targets, features, linear.constant, linear.equal,
                constraint.tolerance,
            )  # fmt: skip


def _spread(given: Values, values: Values) -> Values:
    """Return what the rows add (rows,) in the shape of values (rows, …) without their targets."""
    shape = values.shape[:-1]
    return np.broadcast_to(given.reshape(given.shape + (1,) * (len(shape) - 1)), shape)
