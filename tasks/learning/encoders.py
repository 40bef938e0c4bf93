"""How one raw column becomes network inputs: fitted numbers, and the arithmetic that uses them.

An encoder takes a column as NumPy (n,) and returns float32 (n, width). What it was fitted with
is plain numbers and labels, so that it travels as readable JSON.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.learning.transforms import Transform

Float = NDArray[np.float64]
Input = NDArray[np.float32]

DAY = 86_400.0
YEAR = 365.2425 * DAY
PARTS = {"hour_of_day": (DAY, 0.0), "day_of_week": (7 * DAY, -3 * DAY), "day_of_year": (YEAR, 0.0)}
"""Each part's period and the start of its cycle, in seconds since 1970-01-01 UTC."""


def stand_in(column: str) -> str:
    """Return the name of the column that holds what stands in for a column's missing values."""
    return f"_before/{column}"


@dataclass(frozen=True)
class NumericEncoder:
    """(x - center) / scale, of a number or of its transform; a missing value takes `fill`, and is
    marked where train had any. What is infinite counts as missing."""

    kind: ClassVar[str] = "numeric"
    column: str
    fill: float
    center: float
    scale: float
    indicator: bool
    constant: bool = False
    """True where the column does not vary in the train rows; its scale is 1 then."""
    transform: Transform | None = None
    """The map of values before they are centred and scaled; None for none."""
    clip: float = 0.0
    """What a scaled value comes near but never reaches, s / sqrt(1 + (s / clip)^2); 0 for no such
    limit."""
    forward: bool = False
    """True where the last value before stands in for a missing one, as far as rows bring it."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs it makes."""
        return (self.column, *((f"{self.column} is missing",) if self.indicator else ()))

    def encode(self, values: Float, before: Float | None = None, out: Input | None = None) -> Input:
        """Return (n, 1) or, with the indicator, (n, 2) for values (n,) with NaN for missing.

        `before` (n,) stands in for what is missing, where it is not missing itself. The same is
        written into `out` (inputs, n), where it is given.
        """
        known = np.isfinite(values)
        filled = values
        if not known.all():
            filled = np.where(known, values, self.fill)
            if before is not None:
                filled = np.where(known | ~np.isfinite(before), filled, before)
        if self.transform is not None:
            filled = self.transform.forward(filled)
        scaled = filled - self.center
        scaled /= self.scale
        if self.clip:
            scaled /= np.sqrt(1 + (scaled / self.clip) ** 2)
        return _stack(scaled, *((~known,) if self.indicator else ()), out=out)


@dataclass(frozen=True)
class CyclicEncoder:
    """Sine and cosine of a cycle; a missing value is the circle's centre, and is marked where
    train had any."""

    kind: ClassVar[str] = "cyclic"
    column: str
    period: float
    indicator: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs it makes."""
        marks = (f"{self.column} is missing",) if self.indicator else ()
        return (f"sin {self.column}", f"cos {self.column}", *marks)

    def encode(self, values: Float) -> Input:
        """Return (n, 2) or, with the indicator, (n, 3) for values (n,) with NaN for missing."""
        missing = ~np.isfinite(values)
        angle = np.where(missing, 0.0, values) * (2 * np.pi / self.period)
        sine, cosine = (np.where(missing, 0.0, f(angle)) for f in (np.sin, np.cos))
        return _stack(sine, cosine, *((missing,) if self.indicator else ()))


@dataclass(frozen=True)
class TimestampEncoder:
    """Sine and cosine of calendar cycles of a point in time, in UTC."""

    kind: ClassVar[str] = "timestamp"
    column: str
    parts: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs it makes."""
        return tuple(f"{f} {p} of {self.column}" for p in self.parts for f in ("sin", "cos"))

    def encode(self, values: Float) -> Input:
        """Return (n, 2 * parts) for seconds since 1970 (n,) with NaN for missing."""
        cycles = []
        for part in self.parts:
            period, start = PARTS[part]
            cycle = CyclicEncoder(self.column, period, indicator=False)
            cycles.append(cycle.encode(np.mod(values - start, period)))
        return np.concatenate(cycles, axis=1)


@dataclass(frozen=True)
class CategoricalEncoder:
    """One input per label seen in training, one for all that are `rare` where there are any, and
    a last one for every other or missing label."""

    kind: ClassVar[str] = "categorical"
    column: str
    labels: tuple[str, ...]
    rare: tuple[str, ...] = ()
    """Labels that training has seen, but too seldom for an input each."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs it makes."""
        rare = (f"{self.column} is rare",) if self.rare else ()
        own = (f"{self.column} = {label}" for label in self.labels)
        return (*own, *rare, f"{self.column} is other")

    @property
    def known(self) -> tuple[str, ...]:
        """All labels that training has seen."""
        return (*self.labels, *self.rare)

    def encode(self, values: NDArray[Any]) -> Input:
        """Return (n, inputs) for labels (n,) as text, None for missing."""
        place = {label: i for i, label in enumerate(self.labels)}
        place |= dict.fromkeys(self.rare, len(self.labels))
        width = len(self.inputs)
        codes = np.array([place.get(v, width - 1) for v in values], dtype=np.int64)
        return np.eye(width, dtype=np.float32)[codes]


Encoder = NumericEncoder | CyclicEncoder | TimestampEncoder | CategoricalEncoder
ENCODERS: dict[str, type[Any]] = {
    e.kind: e for e in (NumericEncoder, CyclicEncoder, TimestampEncoder, CategoricalEncoder)
}


@dataclass(frozen=True)
class TargetScaler:
    """A target's scaling and its exact inverse: scaled = (transform(value) - center) / scale.

    Where `present` names a column, what is scaled is the change from that column's value, and
    `fill` stands in where it is missing or infinite.
    """

    column: str
    unit: str
    center: float
    scale: float
    mean: float
    """The target's mean over the train rows, in its unit."""
    present: str | None = None
    fill: float = 0.0
    constant: bool = False
    """True where what is scaled does not vary in the train rows; its scale is 1 then."""
    transform: Transform | None = None
    """The map of values before they are centred and scaled; None for none."""

    @property
    def affine(self) -> bool:
        """True where a straight line leads from scaled values to units."""
        return self.transform is None

    def apply(self, values: Float, present: Float | None = None) -> Float:
        """Return values (n,) in units as scaled values (n,); NaN where either is missing or
        infinite."""
        base = 0.0 if present is None else present
        changes = values - base
        finite = np.isfinite(changes)
        if not finite.all():
            changes = np.where(finite, changes, np.nan)
        return (self._forward(changes) - self.center) / self.scale

    def invert(self, scaled: Float, present: Float | None = None) -> Float:
        """Return scaled values (n,) or (n, draws) in units, for `present` (n,)."""
        values = scaled * self.scale + self.center
        if self.transform is not None:
            values = self.transform.inverse(values)
        if present is None:
            return values
        base = np.where(np.isfinite(present), present, self.fill)
        return values + base.reshape(-1, *(1,) * (scaled.ndim - 1))

    @property
    def size(self) -> float:
        """What a change by 1 in scaled space is in units, about the centre."""
        above, below = (float(self.invert(np.array([v]))[0]) for v in (1.0, -1.0))
        return (above - below) / 2

    def scaled_limit(self, value: float) -> float:
        """Return a limit in units as a limit of scaled values; `present` plays no part."""
        forward = self._forward(np.array([value], dtype=np.float64))
        return float((forward[0] - self.center) / self.scale)

    def _forward(self, values: Float) -> Float:
        return values if self.transform is None else self.transform.forward(values)


def _stack(*columns: NDArray[Any], out: Input | None = None) -> Input:
    whole = np.empty((len(columns), columns[0].size), np.float32) if out is None else out
    for place, column in enumerate(columns):
        whole[place] = column
    return whole.T
