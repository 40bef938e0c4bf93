"""What predictions must hold in units: bounds, shares of one whole, and linear constraints.

Predictions that break something are replaced by the nearest that hold all of it, differences
measured in each target's scale; the others come back bit for bit. Targets that nothing links
are treated by themselves.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.held import parts
from tasks.learning.relations import Count, Given, Relation, count, relations_of

if TYPE_CHECKING:
    from data_contracts.contract import Contract

Values = NDArray[np.float64]
LEAST_POSITIVE = float(np.finfo(np.float64).tiny)
"""The smallest positive number of full precision: what `exp` gives at least."""


@dataclass(frozen=True)
class Limits:
    """Bounds per target, groups of targets that are shares of one whole, and relations."""

    lower: tuple[float | None, ...]
    """The least value of each target in its unit; None where there is none."""
    upper: tuple[float | None, ...]
    shares: tuple[tuple[tuple[int, ...], float], ...] = ()
    """The positions of targets that are 0 or more and add up to a whole, with that whole."""
    relations: tuple[Relation, ...] = ()
    scales: tuple[float, ...] = ()
    """How far a target lies for a distance of 1, in its unit; 1 for each where none are given."""
    names: tuple[str, ...] = ()
    """The targets' columns, for errors."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that the relations need beside the targets, each once."""
        return tuple(dict.fromkeys(c for r in self.relations for c, _ in r.features))

    @property
    def idle(self) -> bool:
        """Whether there is nothing to enforce."""
        bounds = {*self.lower, *self.upper} - {None}
        return not (bounds or self.shares or self.relations)

    @property
    def span(self) -> tuple[Values, Values]:
        """The least and the greatest value of each target by itself, (targets,) each; infinite
        where there is none."""
        low = np.array([-np.inf if v is None else v for v in self.lower])
        high = np.array([np.inf if v is None else v for v in self.upper])
        for positions, whole in self.shares:
            low[list(positions)] = np.maximum(low[list(positions)], 0.0)
            high[list(positions)] = np.minimum(high[list(positions)], whole)
        return low, high

    def enforce(self, values: Values, rows: Any) -> Values:
        """Return values (rows, targets) or (rows, draws, targets) in units that hold all limits.

        `rows` are the raw rows (Arrow or pandas); where a feature of a relation is missing in
        one, the relation does not bind there, and neither does one with a missing target. Sums
        hold within 1e-9 of the size of their terms; bounds and comparisons of two values as
        they are hold exactly. Raises ValueError that names the limits which contradict each
        other in a row, and as Relation.given does.
        """
        if self.idle or not values.size:
            return values
        given = [r.given(rows) for r in self.relations]
        return self._enforced(values, given)

    def violations(self, values: Values, rows: Any) -> dict[str, Count]:
        """Return each relation's counts over point values (rows, targets); see `count`."""
        return count(self.relations, values, rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Limits":
        """Return the limits that `to_dict` made plain."""
        return cls(
            tuple(content["lower"]),
            tuple(content["upper"]),
            tuple((tuple(positions), whole) for positions, whole in content["shares"]),
            tuple(Relation.from_dict(r) for r in content["relations"]),
            tuple(content["scales"]),
            tuple(content["names"]),
        )

    def check(self) -> None:
        """Raise ValueError that names limits which contradict each other in every row."""
        fixed = tuple(r for r in self.relations if not r.features)
        limits = Limits(self.lower, self.upper, self.shares, fixed, self.scales, self.names)
        if not limits.idle:
            given = [(np.full(1, r.constant), np.full(1, abs(r.constant))) for r in fixed]
            limits._enforced(np.zeros((1, len(self.lower))), given)

    def _enforced(self, values: Values, given: Sequence[Given]) -> Values:
        draws = values.shape[1] if values.ndim == 3 else 1
        flat = values.reshape(-1, values.shape[-1])
        out = flat.copy()
        row = np.arange(len(values)).repeat(draws)
        for part in parts(self):
            part.hold(out, row, given)
        return out.reshape(values.shape)


def limits_of(contract: "Contract", scales: Sequence[float]) -> Limits:
    """Return the limits of a contract's predictions.

    `scales` are what a distance of 1 is in each target's unit, such as its deviation. Raises
    ValueError where limits contradict each other whatever the features are.
    """
    bounds = [_bounds(t.output, t.bounds) for t in contract.target_columns.values()]
    order, groups = list(contract.target_columns), contract.groups()
    shares = tuple(
        (tuple(order.index(t) for t in groups[name]), group.whole)
        for name, group in contract.target_groups.items()
        if group.whole is not None and name in groups
    )
    relations = relations_of(contract, enforced=True)
    limits = Limits(
        tuple(low for low, _ in bounds),
        tuple(high for _, high in bounds),
        shares,
        relations,
        tuple(float(s) for s in scales),
        tuple(order),
    )
    limits.check()
    return limits


def _bounds(output: str, bounds: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Return the least and the greatest value of a target by its output."""
    if output == "sigmoid" and bounds is not None:
        return bounds
    least = {"softplus": 0.0, "relu": 0.0, "exp": LEAST_POSITIVE}
    return least.get(output), None
