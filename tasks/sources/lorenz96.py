"""The two-scale system of Lorenz (1996), the standard test bed for learning what a coarse model
does not resolve: slow variables x in, what the fast ones y do to them out.

    dx_k/dt   = x_{k-1} (x_{k+1} - x_{k-2}) - x_k + F + u_k,   u_k = -(h c / b) sum_j y_{j,k}
    dy_{j}/dt = c b y_{j+1} (y_{j-1} - y_{j+2}) - c y_j + (h c / b) x_k

x has `slow` variables on a ring, y `slow` times `fast` on a ring of their own. A row is one member
of an ensemble at one time; members never meet. Time is without a unit; one step of rows is 0.05.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.sources.callables import Made

STEP = 0.005
EVERY = 10
"""Steps of the solver between two rows of a member: 0.05 units of time."""
SPIN_UP = 400
MEMBERS = 200
BLOCK_ROWS = 8_192
State = NDArray[np.float64]


def lorenz96(
    rows: int = 20_000,
    slow: int = 8,
    fast: int = 8,
    forcing: float = 10.0,
    coupling: float = 1.0,
    amplitude: float = 10.0,
    rate: float = 10.0,
    seed: int = 0,
) -> "Made":
    """Return `rows` rows: member, step, time, x_0 and so on, and the tendencies u_0 and so on.

    `coupling`, `amplitude` and `rate` are h, b and c. The same options give the same rows.
    """
    from tasks.sources.callables import Made

    options: dict[str, Any] = dict(locals())
    options.pop("Made")
    if rows < 1 or slow < 4 or fast < 1 or slow * fast < 4:
        raise DataError("lorenz96 needs rows of 1 or more, slow of 4 or more, fast of 1 or more")
    system = System(slow, fast, forcing, coupling, amplitude, rate)
    return Made(json.dumps(options), lambda: _reader(system, rows, seed))


class System:
    """The equations, for states (members, slow + slow * fast): x first, then y."""

    def __init__(
        self, slow: int, fast: int, forcing: float, coupling: float, amplitude: float, rate: float
    ) -> None:
        self.slow, self.fast, self.forcing = slow, fast, forcing
        self.amplitude, self.rate = amplitude, rate
        self.exchange = coupling * rate / amplitude

    def tendency(self, state: State) -> State:
        """Return what the fast variables do to the slow ones: u (members, slow)."""
        y = state[:, self.slow :].reshape(len(state), self.slow, self.fast)
        found: State = -self.exchange * y.sum(axis=2)
        return found

    def change(self, state: State) -> State:
        """Return the derivative of a state by time."""
        x, y = state[:, : self.slow], state[:, self.slow :]
        dx = _turned(x, 1) * (_turned(x, -1) - _turned(x, 2)) - x + self.forcing
        dy = _turned(y, -1) * (_turned(y, 1) - _turned(y, -2)) * self.rate * self.amplitude
        dy += self.exchange * np.repeat(x, self.fast, axis=1) - self.rate * y
        return np.concatenate([dx + self.tendency(state), dy], axis=1)

    def after(self, state: State, steps: int, step: float = STEP) -> State:
        """Return the state some steps later, by the Runge-Kutta method of order 4."""
        for _ in range(steps):
            a = self.change(state)
            b = self.change(state + step / 2 * a)
            c = self.change(state + step / 2 * b)
            d = self.change(state + step * c)
            state = state + step / 6 * (a + 2 * b + 2 * c + d)
        return state


def _turned(values: State, by: int) -> State:
    """Return the values of the neighbour `by` places before, on a ring."""
    return np.roll(values, by, axis=1)


def _reader(system: System, rows: int, seed: int) -> "pa.RecordBatchReader":
    import pyarrow as pa

    batches = _batches(system, rows, seed)
    first = next(batches)
    return pa.RecordBatchReader.from_batches(first.schema, _chain(first, batches))


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _batches(system: System, rows: int, seed: int) -> "Iterator[pa.RecordBatch]":
    """Yield blocks of rows, all members of a time together."""
    draw = np.random.default_rng(seed)
    members = min(MEMBERS, rows)
    state = draw.normal(size=(members, system.slow * (1 + system.fast)))
    state[:, system.slow :] /= system.amplitude
    state = system.after(state, SPIN_UP)
    steps, held = -(-rows // members), max(1, BLOCK_ROWS // members)
    for start in range(0, steps, held):
        states = []
        for _ in range(min(held, steps - start)):
            states.append(state)
            state = system.after(state, EVERY)
        yield _batch(system, states, start, rows - start * members)


def _batch(system: System, states: list[State], start: int, most: int) -> "pa.RecordBatch":
    import pyarrow as pa

    members = len(states[0])
    values, steps = np.concatenate(states), np.arange(start, start + len(states)).repeat(members)
    begin = np.datetime64(datetime(2000, 1, 1), "us")
    tendencies = system.tendency(values)
    columns: dict[str, Any] = {
        "member": np.tile(np.arange(members), len(states)),
        "step": steps,
        "time": begin + steps * np.timedelta64(1, "h").astype("timedelta64[us]"),
    }
    columns |= {f"x_{k}": np.ascontiguousarray(values[:, k]) for k in range(system.slow)}
    columns |= {f"u_{k}": np.ascontiguousarray(tendencies[:, k]) for k in range(system.slow)}
    return pa.record_batch({name: pa.array(c) for name, c in columns.items()}).slice(0, most)
