"""Raw inputs to a network's inputs, as `Preprocessing.encode` does it, by operations of Keras.

Columns of one kind are encoded together, float64 up to the last step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from tasks.formats.arithmetic import interpolated
from tasks.formats.inputs import LABEL, NUMBER, SECONDS, RawInput
from tasks.learning.encoders import (
    PARTS,
    CategoricalEncoder,
    CyclicEncoder,
    NumericEncoder,
    TimestampEncoder,
)
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.transforms import Quantile, Transform

Raw = Mapping[tuple[str, str], tuple[RawInput, Any]]
"""By column and reading: what goes in, and its tensor (rows,)."""


def encoded(preprocessing: Preprocessing, raw: Raw) -> Any:
    """Return the network's inputs, float32 (rows, width)."""
    numeric = [e for e in preprocessing.encoders if isinstance(e, NumericEncoder)]
    cyclic = [e for e in preprocessing.encoders if isinstance(e, CyclicEncoder)]
    times = [e for e in preprocessing.encoders if isinstance(e, TimestampEncoder)]
    labels = [e for e in preprocessing.encoders if isinstance(e, CategoricalEncoder)]
    parts = [
        *([_numbers(numeric, raw)] if numeric else []),
        *([_cycles(cyclic, raw)] if cyclic else []),
        *([_times(times, raw)] if times else []),
        *(_label(e, *raw[e.column, LABEL]) for e in labels),
    ]
    names = [name for own, _ in parts for name in own]
    whole = _joined([values for _, values in parts])
    places = _places(names, preprocessing.inputs)
    return whole if places == sorted(places) else _taken(whole, places)


def matrix(raw: Raw, keys: Sequence[tuple[str, str]]) -> Any:
    """Return the tensors of columns side by side, (rows, columns)."""
    return ops.stack([raw[key][1] for key in keys], axis=-1)


def _numbers(encoders: Sequence[NumericEncoder], raw: Raw) -> tuple[list[str], Any]:
    values = matrix(raw, [(e.column, NUMBER) for e in encoders])
    known = ops.isfinite(values)
    filled = ops.where(known, values, _vector([e.fill for e in encoders]))
    if any(e.transform is not None for e in encoders):
        columns = [_forward(e.transform, filled[..., i]) for i, e in enumerate(encoders)]
        filled = ops.stack(columns, axis=-1)
    center, scale = _vector([e.center for e in encoders]), _vector([e.scale for e in encoders])
    scaled = (filled - center) / scale
    if any(e.clip for e in encoders):
        clip = _vector([e.clip or np.inf for e in encoders])
        scaled = scaled / ops.sqrt(1.0 + ops.square(scaled / clip))
    scaled, missing = ops.cast(scaled, "float32"), ops.logical_not(known)
    marked = [i for i, e in enumerate(encoders) if e.indicator]
    names = [e.inputs[0] for e in encoders] + [encoders[i].inputs[1] for i in marked]
    return names, _joined([scaled, *_marks(missing, marked)])


def _forward(transform: Transform | None, values: Any) -> Any:
    """Return values (rows,) by the map that a column's scaling asks for."""
    if transform is None:
        return values
    if not isinstance(transform, Quantile):
        raise ValueError(f"no format carries a feature with transform {transform.kind}")
    start, end = np.array(transform.values), np.array(transform.normal)
    if len(start) < 2:
        return values - start[0] + end[0]
    held = ops.clip(values, float(start[0]), float(start[-1]))
    slope = (end[-1] - end[0]) / (start[-1] - start[0])
    return interpolated(held, start, end) + (values - held) * slope


def _cycles(encoders: Sequence[CyclicEncoder], raw: Raw) -> tuple[list[str], Any]:
    values = matrix(raw, [(e.column, NUMBER) for e in encoders])
    missing = ops.logical_not(ops.isfinite(values))
    sine, cosine = _waves(values, missing, [e.period for e in encoders])
    marked = [i for i, e in enumerate(encoders) if e.indicator]
    names = [e.inputs[k] for k in (0, 1) for e in encoders]
    names += [encoders[i].inputs[2] for i in marked]
    return names, _joined([sine, cosine, *_marks(missing, marked)])


def _times(encoders: Sequence[TimestampEncoder], raw: Raw) -> tuple[list[str], Any]:
    each = [(e.column, *PARTS[part]) for e in encoders for part in e.parts]
    values = matrix(raw, [(column, SECONDS) for column, _, _ in each])
    missing, periods = ops.logical_not(ops.isfinite(values)), [period for _, period, _ in each]
    since = ops.where(missing, 0.0, values) - _vector([start for _, _, start in each])
    within = since - ops.floor(since / _vector(periods)) * _vector(periods)
    sine, cosine = _waves(within, missing, periods)
    names = [name for e in encoders for name in e.inputs]
    return [*names[::2], *names[1::2]], _joined([sine, cosine])


def _waves(values: Any, missing: Any, periods: Sequence[float]) -> tuple[Any, Any]:
    """Return sines and cosines of cycles, float32, 0 where missing."""
    angle = ops.where(missing, 0.0, values) * (2 * np.pi / _vector(periods))
    sine, cosine = (ops.where(missing, 0.0, wave(angle)) for wave in (ops.sin, ops.cos))
    return ops.cast(sine, "float32"), ops.cast(cosine, "float32")


def _label(encoder: CategoricalEncoder, entry: RawInput, codes: Any) -> tuple[list[str], Any]:
    other = len(entry.labels)
    known = ops.where(ops.logical_and(codes >= 0, codes < other), codes, other)
    width = len(encoder.inputs)
    if entry.labels != encoder.labels:
        # Rare labels share an input, and members have vocabularies of their own: what one lacks is
        # another label to it.
        own = {label: i for i, label in enumerate(encoder.labels)}
        own |= dict.fromkeys(encoder.rare, len(encoder.labels))
        places = [own.get(label, width - 1) for label in entry.labels] + [width - 1]
        known = ops.take(np.array(places, np.int32), known, axis=0)
    return list(encoder.inputs), ops.one_hot(known, width, dtype="float32")


def _marks(missing: Any, marked: list[int]) -> list[Any]:
    return [ops.cast(_taken(missing, marked), "float32")] if marked else []


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the place in `names` of each wanted name; equal names keep their order."""
    rest: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        rest.setdefault(name, []).append(place)
    return [rest[name].pop(0) for name in wanted]


def _taken(values: Any, places: Sequence[int]) -> Any:
    return ops.take(values, np.array(places, np.int32), axis=-1)


def _joined(parts: Sequence[Any]) -> Any:
    return ops.concatenate(list(parts), axis=-1) if len(parts) > 1 else parts[0]


def _vector(values: Sequence[float]) -> Any:
    return np.array(values, np.float64)
