"""Targets that limits link with one another, and how their values come to hold them.

In: the limits of all targets. Out: Parts, each of which changes the values of its own targets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.learning.projection import STUCK, ContradictionError, nearest, simplex
from tasks.learning.relations import HELD, Given, Relation

if TYPE_CHECKING:
    from tasks.learning.limits import Limits

Values = NDArray[np.float64]
Rows = NDArray[np.int64]
Lost = NDArray[np.bool_]
"""Which cells are not finite, (points, p)."""
Box = tuple[Values, Values]
"""The least and the greatest value of each of a part's targets at each point, (points, p)."""
Face = tuple[str, Values, Values]
"""A limit in words, coefficients (p,), and what their sum is at most at each point, (points,)."""
MOST_CELLS = 8_000_000
"""How many numbers a table of points and limits may hold at once."""


class TornError(ValueError):
    """The limits in `words` contradict each other in a `row`."""

    def __init__(self, words: str, row: int) -> None:
        super().__init__(f"no prediction can hold all of: {words} (row {row})")
        self.words, self.row = words, row


@dataclass(frozen=True)
class Part:
    """Targets, by position, that nothing links with others; what binds them among `limits`."""

    limits: "Limits"
    targets: list[int]

    @property
    def shares(self) -> list[tuple[list[int], float]]:
        """The places of targets in this part that are shares, with their whole."""
        own = self.limits.shares
        return [(self._places(p), whole) for p, whole in own if p[0] in self.targets]

    @property
    def relations(self) -> list[tuple[int, Relation]]:
        """The relations of this part, each with its number among all."""
        every = enumerate(self.limits.relations)
        return [(i, r) for i, r in every if r.targets[0][0] in self.targets]

    def hold(self, values: Values, row: Rows, given: Sequence[Given]) -> None:
        """Change values (points, all targets) in place; `row` (points,) is the row of each.

        Raises TornError.
        """
        broken = np.flatnonzero(self._broken(values, row, given))
        faces = 2 * (len(self.targets) + len(self.shares) + len(self.relations))
        step = max(1, MOST_CELLS // faces)
        for some in (broken[i : i + step] for i in range(0, len(broken), step)):
            own = np.ix_(some, np.array(self.targets))
            edges = {i: -given[i][0][row[some]] for i, _ in self.relations}
            try:
                values[own] = self._held(values[own], edges)
            except _ConflictError as error:
                words = "; ".join(dict.fromkeys(error.words))
                at = row[some[error.point]]
                raise TornError(words, int(at)) from None

    def _broken(self, values: Values, row: Rows, given: Sequence[Given]) -> NDArray[Any]:
        cells = values[:, self.targets]
        lower, upper = self._bounds
        broken: NDArray[Any] = np.any((cells < lower) | (cells > upper), axis=1)
        for places, whole in self.shares:
            shares = cells[:, places]
            broken |= (shares < 0).any(axis=1) | (np.abs(shares.sum(axis=1) - whole) > HELD * whole)
        for i, relation in self.relations:
            total, size = given[i]
            broken |= relation.broken(values, (total[row], size[row]), HELD)
        return broken

    def _held(self, cells: Values, edges: dict[int, Values]) -> Values:
        """Return broken cells (points, p), mended. What is not finite stays as it is."""
        lower, upper = self._box(len(cells), edges)
        lost = ~np.isfinite(np.clip(cells, lower, upper))
        lower[lost], upper[lost] = -np.inf, np.inf
        known = np.where(lost, 0.0, cells)
        if len(self.targets) > 1:
            known = self._linked(known, lost, (lower, upper), edges)
        return np.where(lost, cells, self._exact(known, lost, (lower, upper)))

    def _box(self, count: int, edges: dict[int, Values]) -> Box:
        """Return the bounds of each point, those by relations of a single target included."""
        lower, upper = (np.tile(v, (count, 1)) for v in self._bounds)
        for places, _ in self.shares:
            lower[:, places] = np.maximum(lower[:, places], 0.0)
        for i, relation in self.relations:
            if len(relation.targets) == 1:
                ((position, coefficient),) = relation.targets
                place, edge = self._places([position]), (edges[i] / coefficient)[:, None]
                if relation.equal or coefficient > 0:
                    upper[:, place] = np.fmin(upper[:, place], edge)
                if relation.equal or coefficient < 0:
                    lower[:, place] = np.fmax(lower[:, place], edge)
        apart = lower - upper > STUCK * np.fmax(np.abs(lower), np.abs(upper))
        for point, place in np.argwhere(apart)[:1]:
            raise _ConflictError(point, self._about(place))
        return np.minimum(lower, upper), upper

    def _linked(self, cells: Values, lost: Lost, box: Box, edges: dict[int, Values]) -> Values:
        """Return the nearest cells that hold what links them, up to rounding."""
        scales = self._scales
        if self._only_shares(lost, box):
            return simplex(cells, scales**2, self.shares[0][1])
        faces = list(self._faces(lost, box, edges))
        normals = np.array([coefficients * scales for _, coefficients, _ in faces])
        lengths = np.linalg.norm(normals, axis=1)
        ends = np.stack([end for _, _, end in faces], axis=1) / lengths
        start = cells / scales
        try:
            found = nearest(start, normals / lengths[:, None], ends)
        except ContradictionError as error:
            raise _ConflictError(error.point, [faces[i][0] for i in error.limits]) from None
        return np.where(found == start, cells, found * scales)

    def _only_shares(self, lost: Lost, box: Box) -> bool:
        lower, upper = box
        free = (lower == 0).all() and np.isinf(upper).all() and not lost.any()
        return bool(free) and len(self.shares) == 1 and not self._links

    def _faces(self, lost: Lost, box: Box, edges: dict[int, Values]) -> Iterator[Face]:
        """Yield all linear limits of the part; those that need a lost cell do not bind there."""
        for places, whole in self.shares:
            coefficients = np.isin(np.arange(len(self.targets)), places).astype(np.float64)
            ends = np.where(lost[:, places].any(axis=1), np.nan, whole)
            yield from _both(self._sum(places, whole), coefficients, ends, equal=True)
        for i, relation in self._links:
            places = self._places([p for p, _ in relation.targets])
            coefficients = np.zeros(len(self.targets))
            coefficients[places] = [c for _, c in relation.targets]
            ends = np.where(lost[:, places].any(axis=1), np.nan, edges[i])
            yield from _both(relation.words, coefficients, ends, relation.equal)
        for place, one in enumerate(np.eye(len(self.targets))):
            lower, upper = (v[:, place] for v in box)
            words = " and ".join(self._about(place))
            if np.isfinite(upper).any():
                yield words, one, upper
            if np.isfinite(lower).any():
                yield words, -one, -lower

    def _exact(self, cells: Values, lost: Lost, box: Box) -> Values:
        """Return the cells without the rounding by which bounds and plain comparisons are off."""
        lower, upper = box
        pairs = [self._places(_lesser_first(r)) for _, r in self._links if r.plain]
        bound = [np.flatnonzero(~lost[:, pair].any(axis=1)) for pair in pairs]
        for _ in pairs:
            for (less, more), at in zip(pairs, bound, strict=True):
                lower[at, more] = np.maximum(lower[at, more], lower[at, less])
                upper[at, less] = np.minimum(upper[at, less], upper[at, more])
        out: Values = np.clip(cells, lower, upper)
        for _ in pairs:
            for (less, more), at in zip(pairs, bound, strict=True):
                out[at, less] = np.minimum(out[at, less], out[at, more])
        return out

    @property
    def _links(self) -> list[tuple[int, Relation]]:
        return [(i, r) for i, r in self.relations if len(r.targets) > 1]

    @property
    def _bounds(self) -> Box:
        lower = [-np.inf if v is None else v for v in self.limits.lower]
        upper = [np.inf if v is None else v for v in self.limits.upper]
        return np.array(lower)[self.targets], np.array(upper)[self.targets]

    @property
    def _scales(self) -> Values:
        return np.array(self.limits.scales or (1.0,) * len(self.limits.lower))[self.targets]

    def _places(self, positions: Sequence[int]) -> list[int]:
        return [self.targets.index(p) for p in positions]

    def _about(self, place: int) -> list[str]:
        """Return what bounds a target by itself, in words."""
        position = self.targets[place]
        name = self._name(position)
        low, high = self.limits.lower[position], self.limits.upper[position]
        shares = [self._sum(own, whole) for own, whole in self.shares if place in own]
        single = [r for _, r in self.relations if [p for p, _ in r.targets] == [position]]
        return [
            *([f"{name} at least {low:g}"] if low is not None else []),
            *([f"{name} at most {high:g}"] if high is not None else []),
            *shares,
            *(r.words for r in single),
        ]

    def _sum(self, places: Sequence[int], whole: float) -> str:
        names = [self._name(self.targets[p]) for p in places]
        return f"{' + '.join(names)} == {whole:g}, each 0 or more"

    def _name(self, position: int) -> str:
        return self.limits.names[position] if self.limits.names else f"target {position}"


def parts(limits: "Limits") -> list[Part]:
    """Return the targets that limits bind, divided into parts that nothing links."""
    together = [list(positions) for positions, _ in limits.shares]
    together += [[p for p, _ in r.targets] for r in limits.relations]
    bounds = enumerate(zip(limits.lower, limits.upper, strict=True))
    together += [[i] for i, both in bounds if both != (None, None)]
    found: list[set[int]] = []
    for positions in map(set, together):
        touched = [group for group in found if group & positions]
        found = [group for group in found if not group & positions]
        found.append(positions.union(*touched))
    return [Part(limits, sorted(group)) for group in found]


class _ConflictError(Exception):
    """At `point` the limits in `words` contradict each other."""

    def __init__(self, point: int, words: Sequence[str]) -> None:
        super().__init__(point, words)
        self.point, self.words = point, words


def _both(words: str, coefficients: Values, ends: Values, equal: bool) -> Iterator[Face]:
    """Yield a limit as its face, an equality as two; NaN is where it does not bind."""
    unbound = np.isnan(ends)
    yield words, coefficients, np.where(unbound, np.inf, ends)
    if equal:
        yield words, -coefficients, np.where(unbound, np.inf, -ends)


def _lesser_first(relation: Relation) -> list[int]:
    return [p for p, _ in sorted(relation.targets, key=lambda pair: -pair[1])]
