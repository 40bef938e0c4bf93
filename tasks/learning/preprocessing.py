"""All that is fitted before the network: encoders of features, scalers of targets.

Fitted on train rows alone, once; then the one implementation for training, evaluation, batch
prediction and serving. It travels as JSON, every number readable.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.learning.encoders import (
    ENCODERS,
    CategoricalEncoder,
    CyclicEncoder,
    Encoder,
    Float,
    Input,
    NumericEncoder,
    TargetScaler,
    TimestampEncoder,
    stand_in,
)
from tasks.learning.tables import as_table, labels, numbers, seconds
from tasks.learning.transforms import from_plain, to_plain


@dataclass(frozen=True)
class Preprocessing:
    """Fitted encoders and scalers. Raw columns in, float32 inputs and scaled targets out."""

    encoders: tuple[Encoder, ...]
    scalers: tuple[TargetScaler, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that a prediction needs, each once."""
        presents = (s.present for s in self.scalers if s.present)
        return tuple(dict.fromkeys([*(e.column for e in self.encoders), *presents]))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the network's inputs, in order."""
        return tuple(name for encoder in self.encoders for name in encoder.inputs)

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns, in order."""
        return tuple(s.column for s in self.scalers)

    @property
    def constant(self) -> tuple[str, ...]:
        """The columns that do not vary in the train rows."""
        inputs = [e for e in self.encoders if isinstance(e, NumericEncoder) and e.constant]
        return (*(e.column for e in inputs), *(s.column for s in self.scalers if s.constant))

    @property
    def affine(self) -> bool:
        """True where a straight line leads from every target's scaled values to units."""
        return all(s.affine for s in self.scalers)

    def parts(self, columns: int) -> Iterator["Preprocessing"]:
        """Yield the same in parts of so many encoders or scalers, in the order of a shard."""
        for start in range(0, len(self.encoders), columns):
            yield Preprocessing(self.encoders[start : start + columns], ())
        for start in range(0, len(self.scalers), columns):
            yield Preprocessing((), self.scalers[start : start + columns])

    def encode(self, rows: Any) -> Input:
        """Return the network's inputs, float32 (n, inputs), for raw rows (Arrow or pandas).

        Raises ValueError that names a column which is missing or of the wrong type.
        """
        # Column by column in memory as they come, then once across: that is half the time.
        return np.ascontiguousarray(self.encode_columns(rows).T)

    def encode_columns(
        self, rows: Any, before: Mapping[str, Float] | None = None, out: Input | None = None
    ) -> Input:
        """Return the network's inputs by column, float32 (inputs, n), as `encode` does by row.

        `before` holds, by column, what stands in for its missing values (n,); without it, the rows'
        own columns of that name do. `out` is filled where it is given.
        """
        before = self._stand_ins(rows) if before is None else before
        table = as_table(rows, self.columns)
        whole = np.empty((len(self.inputs), len(table)), np.float32) if out is None else out
        start = 0
        for encoder in self.encoders:
            stop = start + len(encoder.inputs)
            _encode(encoder, table, before, whole[start:stop])
            start = stop
        return whole

    def _stand_ins(self, rows: Any) -> dict[str, Float]:
        forward = [e.column for e in self.encoders if isinstance(e, NumericEncoder) and e.forward]
        have = set(rows.column_names if isinstance(rows, pa.Table) else rows.columns)
        names = {c: stand_in(c) for c in forward if stand_in(c) in have}
        table = as_table(rows, names.values()) if names else None
        return {c: numbers(table, name) for c, name in names.items()} if table else {}

    def scale(self, rows: Any) -> NDArray[np.float32]:
        """Return scaled targets, float32 (n, targets), NaN where missing."""
        return np.ascontiguousarray(self.scale_columns(rows).T)

    def scale_columns(self, rows: Any, out: Input | None = None) -> NDArray[np.float32]:
        """Return scaled targets by column, float32 (targets, n), NaN where missing; into `out`
        where it is given."""
        table = as_table(rows, (*self.targets, *self.columns))
        whole = np.empty((len(self.scalers), len(table)), np.float32) if out is None else out
        for place, scaler in enumerate(self.scalers):
            values = numbers(table, scaler.column)
            whole[place] = scaler.apply(values, _present(table, scaler))
        return whole

    def invert(self, scaled: NDArray[Any], rows: Any) -> NDArray[np.float64]:
        """Return scaled values of n raw rows in the targets' units, float64.

        Takes (n, targets) or (n, draws, targets), and returns the same shape.
        """
        table = as_table(rows, self.columns)
        values = np.moveaxis(np.asarray(scaled, dtype=np.float64), -1, 0)
        columns = [
            s.invert(v, _present(table, s)) for s, v in zip(self.scalers, values, strict=True)
        ]
        return np.stack(columns, axis=-1)

    def to_json(self) -> str:
        """Return every fitted number as JSON, one encoder or scaler a line."""
        encoders = [json.dumps({"kind": e.kind} | _plain_encoder(e)) for e in self.encoders]
        scalers = [json.dumps(_plain_scaler(s)) for s in self.scalers]
        return (
            '{"encoders": [\n  ' + ",\n  ".join(encoders) + '\n],\n"scalers": [\n  '
            "" + ",\n  ".join(scalers) + "\n]}\n"
        )

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Return what `to_json` wrote."""
        content = json.loads(text)
        return cls(
            tuple(_encoder(e) for e in content["encoders"]),
            tuple(_scaler(s) for s in content["scalers"]),
        )


def _present(table: pa.Table, scaler: TargetScaler) -> NDArray[np.float64] | None:
    return numbers(table, scaler.present) if scaler.present else None


def _encode(encoder: Encoder, table: pa.Table, before: Mapping[str, Float], out: Input) -> None:
    """Write an encoder's inputs into `out` (inputs, n)."""
    match encoder:
        case TimestampEncoder():
            out.T[:] = encoder.encode(seconds(table, encoder.column))
        case CategoricalEncoder():
            out.T[:] = encoder.encode(labels(table, encoder.column))
        case CyclicEncoder():
            out.T[:] = encoder.encode(numbers(table, encoder.column))
        case NumericEncoder():
            column = encoder.column
            encoder.encode(numbers(table, column), before.get(column), out)


def _plain_encoder(encoder: Encoder) -> dict[str, Any]:
    plain = asdict(encoder)
    if isinstance(encoder, NumericEncoder):
        plain["transform"] = to_plain(encoder.transform)
    return plain


def _plain_scaler(scaler: TargetScaler) -> dict[str, Any]:
    return asdict(scaler) | {"transform": to_plain(scaler.transform)}


def _scaler(content: dict[str, Any]) -> TargetScaler:
    return TargetScaler(**content | {"transform": from_plain(content["transform"])})


def _encoder(content: dict[str, Any]) -> Encoder:
    kind = ENCODERS[content["kind"]]
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content.items() if k != "kind"
    }
    if "transform" in fields:
        fields["transform"] = from_plain(fields["transform"])
    encoder: Encoder = kind(**fields)
    return encoder
