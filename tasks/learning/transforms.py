"""Monotone maps of a target's values, applied before they are centred and scaled.

A transform holds the plain numbers it was fitted with. `forward` takes values in units and
`inverse` takes them back, float64 arrays (n,) or (n, draws); NaN stays NaN, and what is finite
stays finite.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

LEAST = float(np.nextafter(-1.0, 0.0))
"""The least value that has a logarithm of 1 + value."""
MOST_LOG = 300.0
"""The greatest exponent that is raised: the square of its power is a float64 still."""


@dataclass(frozen=True)
class Log1p:
    """log(1 + value), for values above -1. What is no more than -1 counts as just above it."""

    kind: ClassVar[str] = "log1p"

    def forward(self, values: Float) -> Float:
        """Return log(1 + values)."""
        return np.log1p(np.maximum(values, LEAST))

    def inverse(self, values: Float) -> Float:
        """Return exp(values) - 1."""
        return np.expm1(np.minimum(values, MOST_LOG))


@dataclass(frozen=True)
class YeoJohnson:
    """The power transform of Yeo & Johnson (Biometrika 87(4), 2000), of values / `unit`.

    Outside `least` to `greatest`, which are values / `unit`, it goes on along its tangent: so it
    reaches every number and takes every number back, where the power alone has an end.
    """

    kind: ClassVar[str] = "yeo_johnson"
    power: float
    """The paper's lambda."""
    unit: float
    least: float
    greatest: float

    def forward(self, values: Float) -> Float:
        """Return transformed values."""
        scaled = values / self.unit
        within = np.clip(scaled, self.least, self.greatest)
        return bend(within, self.power) + (scaled - within) * _slope(within, self.power)

    def inverse(self, values: Float) -> Float:
        """Return values in units."""
        ends = bend(np.array([self.least, self.greatest]), self.power)
        within = np.clip(values, *ends)
        scaled = np.clip(_unbend(within, self.power), self.least, self.greatest)
        return (scaled + (values - within) / _slope(scaled, self.power)) * self.unit


@dataclass(frozen=True)
class Quantile:
    """A piecewise-linear map from train quantiles to those of a standard normal.

    Beyond both ends it goes on with the mean slope, so it takes back every number.
    """

    kind: ClassVar[str] = "quantile"
    values: tuple[float, ...]
    """Distinct train quantiles, ascending."""
    normal: tuple[float, ...]
    """The standard normal's, as many, ascending."""

    def forward(self, values: Float) -> Float:
        """Return transformed values."""
        within = np.clip(values, self.values[0], self.values[-1])
        return _joined(within, self.values, self.normal) + (values - within) * self._slope

    def inverse(self, values: Float) -> Float:
        """Return values in units."""
        within = np.clip(values, self.normal[0], self.normal[-1])
        return _joined(within, self.normal, self.values) + (values - within) / self._slope

    @property
    def _slope(self) -> float:
        span = self.values[-1] - self.values[0]
        return (self.normal[-1] - self.normal[0]) / span if span else 1.0


Transform = Log1p | YeoJohnson | Quantile
TRANSFORMS: dict[str, type[Any]] = {t.kind: t for t in (Log1p, YeoJohnson, Quantile)}


def to_plain(transform: Transform | None) -> dict[str, Any] | None:
    """Return a transform as plain data, its `kind` with it."""
    return None if transform is None else {"kind": transform.kind} | asdict(transform)


def from_plain(content: Mapping[str, Any] | None) -> Transform | None:
    """Return what `to_plain` made, also after a way through JSON."""
    if content is None:
        return None
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items() if k != "kind"}
    transform: Transform = TRANSFORMS[content["kind"]](**fields)
    return transform


def bend(values: Float, power: float) -> Float:
    """Return the Yeo-Johnson transform of values."""
    return np.sign(values) * _power(np.log1p(np.abs(values)), _exponent(values, power))


def _joined(asked: Float, values: tuple[float, ...], results: tuple[float, ...]) -> Float:
    """Return NumPy's interpolation, held between the two results that are next to each.

    Just before a value it may round to more than the value's own result, and so be out of order.
    """
    passed = np.searchsorted(values, asked, side="right")
    at = np.asarray(results)
    least, most = at[np.maximum(passed - 1, 0)], at[np.minimum(passed, len(at) - 1)]
    return np.clip(np.interp(asked, values, results), least, most)


def _exponent(values: Float, power: float) -> Float:
    return np.where(values < 0, 2 - power, power)


def _power(logs: Float, exponent: Float) -> Float:
    """Return (exp(logs * exponent) - 1) / exponent, and its limit `logs` at exponent 0."""
    safe = np.where(exponent == 0, 1.0, exponent)
    return np.where(exponent == 0, logs, np.expm1(logs * safe) / safe)


def _unbend(values: Float, power: float) -> Float:
    exponent = _exponent(values, power)
    safe = np.where(exponent == 0, 1.0, exponent)
    size = np.abs(values)
    logs = np.where(exponent == 0, size, np.log1p(np.maximum(size * safe, LEAST)) / safe)
    return np.sign(values) * np.expm1(np.minimum(logs, MOST_LOG))


def _slope(values: Float, power: float) -> Float:
    return np.exp((_exponent(values, power) - 1) * np.log1p(np.abs(values)))
