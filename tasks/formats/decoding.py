"""Scaled means to the targets' units and within their limits, as the bundle does it, float64.

Values are (..., targets): of rows, or of members or samples of rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from tasks.formats.arithmetic import expm1, interpolated, log1p
from tasks.formats.encoding import Raw
from tasks.formats.inputs import NUMBER
from tasks.learning.encoders import TargetScaler
from tasks.learning.limits import Limits
from tasks.learning.transforms import (
    LEAST,
    MOST_LOG,
    Log1p,
    Quantile,
    Transform,
    YeoJohnson,
    bend,
)

SHARE_STEPS = 3
"""Corrections of shares to their whole: each leaves a smaller rest where one was cut at 0."""


def in_units(scalers: Sequence[TargetScaler], scaled: Any, raw: Raw) -> Any:
    """Return scaled values (rows, targets) or (rows, members, targets) in units."""
    center, scale = (np.array([getattr(s, n) for s in scalers]) for n in ("center", "scale"))
    values = scaled * scale + center
    if any(s.transform is not None for s in scalers):
        columns = [_inverse(s.transform, values[..., i]) for i, s in enumerate(scalers)]
        values = ops.stack(columns, axis=-1)
    if not any(s.present for s in scalers):
        return values
    base = ops.stack([_base(s, raw) for s in scalers], axis=-1)
    return values + (ops.expand_dims(base, 1) if len(values.shape) == 3 else base)


def within(limits: Limits, values: Any) -> Any:
    """Return values in units within their bounds, shares made to add up to their whole."""
    low, high = limits.lower, limits.upper
    if any(v is not None for v in low):
        values = ops.maximum(values, np.array([-np.inf if v is None else v for v in low]))
    if any(v is not None for v in high):
        values = ops.minimum(values, np.array([np.inf if v is None else v for v in high]))
    for places, whole in limits.shares:
        values = _shared(values, list(places), whole, limits.scales)
    return values


def _base(scaler: TargetScaler, raw: Raw) -> Any:
    """Return what a target's change is added to, (rows,)."""
    if scaler.present is None:
        return ops.zeros_like(next(t for (_, how), (_, t) in raw.items() if how == NUMBER))
    present = raw[scaler.present, NUMBER][1]
    return ops.where(ops.isfinite(present), present, scaler.fill)


def _inverse(transform: Transform | None, values: Any) -> Any:
    inverse: dict[type[Any], Callable[[Any, Any], Any]] = {
        Log1p: lambda _, v: expm1(ops.minimum(v, MOST_LOG)),
        YeoJohnson: _yeo_johnson,
        Quantile: _quantile,
    }
    return values if transform is None else inverse[type(transform)](transform, values)


def _yeo_johnson(transform: YeoJohnson, values: Any) -> Any:
    ends = bend(np.array([transform.least, transform.greatest]), transform.power)
    held = ops.clip(values, *map(float, ends))
    negative = ops.less(held, 0.0)
    size = ops.abs(held)
    above, below = transform.power, 2.0 - transform.power
    logs = ops.where(negative, _logs(size, below), _logs(size, above))
    grown = expm1(ops.minimum(logs, MOST_LOG))
    scaled = ops.clip(ops.where(negative, -grown, grown), transform.least, transform.greatest)
    exponent = ops.where(ops.less(scaled, 0.0), below - 1.0, above - 1.0)
    slope = ops.exp(exponent * log1p(ops.abs(scaled)))
    return (scaled + (values - held) / slope) * transform.unit


def _logs(size: Any, exponent: float) -> Any:
    """Return the logarithms of 1 + the untransformed sizes."""
    if exponent == 0:
        return size
    return log1p(ops.maximum(size * exponent, LEAST)) / exponent


def _quantile(transform: Quantile, values: Any) -> Any:
    start, end = np.array(transform.normal), np.array(transform.values)
    if len(start) < 2:
        return values - start[0] + end[0]
    held = ops.clip(values, float(start[0]), float(start[-1]))
    slope = (start[-1] - start[0]) / (end[-1] - end[0])
    return interpolated(held, start, end) + (values - held) / slope


def _shared(values: Any, places: list[int], whole: float, scales: Sequence[float]) -> Any:
    """Return values whose shares are 0 or more and add up to a whole, by the least change."""
    weight = np.zeros(values.shape[-1])
    weight[places] = np.square(scales)[places] if scales else 1.0
    part = (weight > 0).astype(np.float64)
    for _ in range(SHARE_STEPS):
        excess = ops.sum(values * part, axis=-1, keepdims=True) - whole
        values = values - excess * (weight / weight.sum())
        values = ops.where(part > 0, ops.maximum(values, 0.0), values)
    return values
