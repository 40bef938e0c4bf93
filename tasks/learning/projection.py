"""The nearest point that holds linear limits, for many points at once.

`nearest` is the dual active-set method of Goldfarb and Idnani, A numerically stable dual method
for solving strictly convex quadratic programs, Mathematical Programming 27 (1983), for the
identity as the quadratic form: it ends after finitely many steps, and exactly. `simplex` sorts,
as Held, Wolfe and Crowder, Validation of subgradient optimization, Mathematical Programming 6
(1974).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
HOLDS = 1e-13
"""A limit is held within this share of the size of its terms."""
STUCK = 1e-9
"""An excess that cannot be mended contradicts the others from this share on."""
PARALLEL = 1e-12
"""The squared length, of 1, below which a normal depends on the others."""


class ContradictionError(ValueError):
    """Limits of which no point holds all: `limits` their numbers, at point `point`."""

    def __init__(self, point: int, limits: tuple[int, ...]) -> None:
        super().__init__(f"no point holds the limits {limits}, first at point {point}")
        self.point, self.limits = point, limits


def nearest(points: Values, normals: Values, limits: Values) -> Values:
    """Return the points (n, p) nearest to `points` with normals @ point <= limits.

    `normals` (m, p) are of length 1 and the same for all points; `limits` (n, m) are a point's
    own, infinite where there is none. An equality is two limits with opposite normals. Raises
    ContradictionError.
    """
    state = _State(points.copy(), normals, limits)
    live = np.arange(len(points))
    while live.size:
        live = state.enter(live)
        if live.size:
            state.step(live)
    return state.points


def simplex(values: Values, weights: Values, whole: float) -> Values:
    """Return the nearest values (n, p) that are 0 or more and add up to `whole`.

    A step of value i counts as its square over `weights` (p,).
    """
    ratio = values / weights
    order = np.argsort(-ratio, axis=-1, kind="stable")
    above = np.cumsum(np.take_along_axis(values, order, -1), axis=-1) - whole
    mass = np.cumsum(weights[order], axis=-1)
    kept = np.take_along_axis(ratio, order, -1) > above / mass
    last = kept.shape[-1] - 1 - np.argmax(kept[:, ::-1], axis=-1)[:, None]
    level = np.take_along_axis(above, last, -1) / np.take_along_axis(mass, last, -1)
    out: Values = np.maximum(values - level * weights, 0.0)
    return out


@dataclass
class _State:
    """Where every point stands: its active limits with their multipliers, and the one that
    enters, -1 for none."""

    points: Values
    normals: Values
    limits: Values

    def __post_init__(self) -> None:
        self.gram = self.normals @ self.normals.T
        self.active = np.zeros(self.limits.shape, bool)
        self.multipliers = np.zeros(self.limits.shape)
        self.entering = np.full(len(self.points), -1)

    def enter(self, live: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choose the most broken limit where none enters; return the points that break one."""
        fresh = live[self.entering[live] < 0]
        terms = np.abs(self.points[fresh]) @ np.abs(self.normals.T)
        limits = self.limits[fresh]
        size = terms + np.where(np.isfinite(limits), np.abs(limits), 0.0)
        over = self.points[fresh] @ self.normals.T - limits - HOLDS * size
        over[self.active[fresh]] = -np.inf
        self.entering[fresh] = np.where(over.max(axis=1) > 0, over.argmax(axis=1), -1)
        return live[self.entering[live] >= 0]

    def step(self, live: NDArray[np.int64]) -> None:
        """Go as far towards the entering limit as the multipliers allow: to the limit itself,
        which becomes active, or to where an active one has to leave first."""
        entering = self.entering[live]
        pull = self._pull(live, entering)
        way = self.normals[entering] - pull @ self.normals
        length = (way**2).sum(axis=1)
        excess = (self.points[live] * self.normals[entering]).sum(axis=1)
        excess -= self.limits[live, entering]
        free = length > PARALLEL
        full = np.where(free, excess / np.where(free, length, 1.0), np.inf)
        may_leave = self.active[live] & (pull > PARALLEL)
        ratio = np.where(may_leave, self.multipliers[live] / np.where(may_leave, pull, 1.0), np.inf)
        leaving = ratio.argmin(axis=1)
        until = ratio[np.arange(len(live)), leaving]
        reach = self._mendable(live, np.minimum(full, until), excess, pull)
        self.points[live] -= np.where(free, reach, 0.0)[:, None] * way
        self.multipliers[live] -= reach[:, None] * pull
        self.multipliers[live, entering] += reach
        enters = full <= until
        self.active[live[enters], entering[enters]] = True
        self.entering[live[enters]] = -1
        self.active[live[~enters], leaving[~enters]] = False
        self.multipliers[live[~enters], leaving[~enters]] = 0.0

    def _pull(self, live: NDArray[np.int64], entering: NDArray[np.int64]) -> Values:
        """Return how the active normals make up the entering one best, (live, m)."""
        active = self.active[live]
        most = int(active.sum(axis=1).max())
        out = np.zeros(active.shape)
        if most:
            own = np.argsort(~active, axis=1, kind="stable")[:, :most]
            there = np.take_along_axis(active, own, axis=1)
            pairs = there[:, :, None] & there[:, None, :]
            gram = np.where(pairs, self.gram[own[:, :, None], own[:, None, :]], np.eye(most))
            wanted = np.where(there, self.gram[own, entering[:, None]], 0.0)
            found = np.linalg.solve(gram, wanted[:, :, None])[:, :, 0]
            np.put_along_axis(out, own, found, axis=1)
        return out

    def _mendable(
        self, live: NDArray[np.int64], reach: Values, excess: Values, pull: Values
    ) -> Values:
        """Return the step, nothing where only rounding is left. Raises ContradictionError."""
        stuck = np.isinf(reach)
        if stuck.any():
            entering = self.entering[live]
            size = (np.abs(self.points[live]) * np.abs(self.normals[entering])).sum(axis=1)
            size += np.abs(self.limits[live, entering])
            hopeless = np.flatnonzero(stuck & (excess > STUCK * size))
            if hopeless.size:
                first = hopeless[0]
                others = np.flatnonzero(np.abs(pull[first]) > STUCK)
                raise ContradictionError(
                    int(live[first]), (int(entering[first]), *map(int, others))
                )
        return np.where(stuck, 0.0, reach)
