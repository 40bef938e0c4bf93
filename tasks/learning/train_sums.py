"""What is known of the train rows, which is all that encoders and scalers are fitted on.

TrainRows are the rows themselves, where memory holds them. TrainSums are sums over blocks of them,
each block read once; those of later blocks are merged to those of earlier ones.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.columns import CategoricalFeature, TimestampFeature
from tasks.learning.column_sums import Column, Draw, Sums, Values
from tasks.learning.suitable import Break, breaks, joined
from tasks.learning.tables import AT_ONCE, label_texts, numbers

if TYPE_CHECKING:
    from data_contracts.contract import Contract


Read = Callable[[Sequence[str]], pa.Table]
"""Returns the named columns of some rows."""


class Train(Protocol):
    """The train rows, column by column."""

    def column(self, name: str) -> Column:
        """Return a column of numbers."""

    def change(self, target: str, present: str) -> Column:
        """Return a target's change from its present value."""

    def labels(self, name: str) -> "Counter[str]":
        """Return how many rows hold each label of a column."""

    def breaks(self, contract: "Contract") -> list[Break]:
        """Return what in them does not suit a target's output or transform."""


@dataclass(frozen=True)
class TrainRows:
    """The train rows themselves."""

    table: pa.Table

    def column(self, name: str) -> Column:
        """Return a column of numbers."""
        return Values(numbers(self.table, name))

    def change(self, target: str, present: str) -> Column:
        """Return a target's change from its present value."""
        return Values(numbers(self.table, target) - numbers(self.table, present))

    def labels(self, name: str) -> "Counter[str]":
        """Return how many rows hold each label of a column."""
        return _labels(self.table, name)

    def breaks(self, contract: "Contract") -> list[Break]:
        """Return what in them does not suit a target's output or transform."""
        return breaks(contract, self.table)


@dataclass(frozen=True)
class TrainSums:
    """Sums over some blocks of train rows."""

    columns: dict[str, Sums] = field(default_factory=dict)
    changes: dict[str, Sums] = field(default_factory=dict)
    """By target."""
    counts: dict[str, "Counter[str]"] = field(default_factory=dict)
    """How many rows hold each label, by column."""
    broken: tuple[Break, ...] = ()

    @classmethod
    def of(
        cls, contract: "Contract", read: Read, rows: NDArray[np.int64], draw: Draw
    ) -> "TrainSums":
        """Return the sums of a block's train rows; of those that `draw` names, the quantiles.

        `read` returns columns of all the block's rows, of which `rows` (n,) are for training.
        """
        targets, changing = contract.target_columns, changing_targets(contract)
        # What is demanded of targets, and changes, need several of these together.
        judged = read(["_row", *targets, *changing.values()]).take(pa.array(rows))
        taken, room = np.empty((2, rows.size))
        own = {c: Sums.of(numbers(judged, c), draw, room) for c in judged.column_names[1:]}
        changes = {
            c: Sums.of(numbers(judged, c) - numbers(judged, p), draw, room)
            for c, p in changing.items()
        }
        coded, plain = _features(contract)
        for names in _few([c for c in plain if c not in own]):
            table = read(names)
            for column in names:
                np.take(numbers(table, column), rows, out=taken, mode="clip")
                own[column] = Sums.of(taken, draw, room)
        counts = {c: _labels(read([c]).take(pa.array(rows)), c) for c in coded}
        return cls(own, changes, counts, tuple(breaks(contract, judged)))

    def merged(self, after: "TrainSums") -> "TrainSums":
        """Return the sums of both; `after` are of later blocks."""
        if not self.columns:
            return after
        if not after.columns:
            return self
        return TrainSums(
            {c: sums.merged(after.columns[c]) for c, sums in self.columns.items()},
            {c: sums.merged(after.changes[c]) for c, sums in self.changes.items()},
            {c: counts + after.counts[c] for c, counts in self.counts.items()},
            tuple(joined([*self.broken, *after.broken])),
        )

    def column(self, name: str) -> Column:
        """Return a column of numbers."""
        return self.columns[name]

    def change(self, target: str, present: str) -> Column:
        """Return a target's change from its present value."""
        return self.changes[target]

    def labels(self, name: str) -> "Counter[str]":
        """Return how many rows hold each label of a column."""
        return self.counts[name]

    def breaks(self, contract: "Contract") -> list[Break]:
        """Return what in them does not suit a target's output or transform."""
        return list(self.broken)


def merged(found: Iterable[TrainSums]) -> TrainSums:
    """Return the sums of blocks, given in their order, as one."""
    return reduce(TrainSums.merged, found, TrainSums())


def changing_targets(contract: "Contract") -> dict[str, str]:
    """Return the targets whose change is learned, each with the column of its present value."""
    presents = contract.present_columns
    return {c: presents[c] for c, t in contract.target_columns.items() if t.transform == "change"}


def _features(contract: "Contract") -> tuple[list[str], list[str]]:
    """Return the features that are labels, and those that are numbers."""
    features = contract.feature_columns.items()
    coded = [c for c, f in features if isinstance(f, CategoricalFeature)]
    return coded, [
        c for c, f in features if not isinstance(f, CategoricalFeature | TimestampFeature)
    ]


def _few(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


def _labels(table: pa.Table, column: str) -> "Counter[str]":
    counts = pc.value_counts(label_texts(table, column))
    names, rows = counts.field("values").to_pylist(), counts.field("counts").to_pylist()
    return Counter({n: c for n, c in zip(names, rows, strict=True) if n is not None})
