"""The columns of a prediction: the key, each target in its unit, intervals, a mark.

In: the version that answers, the columns that rows have, and what is asked for. Out: Columns.
Raises WrongRequest for an interval that the version does not have.
"""

from collections.abc import Iterator

import pyarrow as pa

from tasks.errors import WrongRequest
from tasks.learning.frames import separator
from tasks.predict.checks import checks_of
from tasks.predict.model import Answering
from tasks.predict.request import Invalid
from tasks.spans import unit

MARK, REASONS, ROW = "_invalid", "_reasons", "_row"


class Columns:
    """Which columns are read, and which are written."""

    def __init__(
        self, model: Answering, schema: pa.Schema, interval: float | None, invalid: Invalid
    ) -> None:
        _possible(model, interval)
        self.model, self.interval, self.marked = model, interval, invalid == "mark"
        self.checks = checks_of(model.contract, schema)
        named = dict.fromkeys([*model.needs, *(c for check in self.checks for c in check.columns)])
        self.read = pa.schema([schema.field(c) for c in named])
        """What is read: all that the model needs and the contract's checks can be held to."""
        self.key = list(model.contract.key)
        self.written = pa.schema([*map(self.read.field, self.key), *self._values(), *self._mark()])
        """What is written, with units and descriptions as metadata."""
        reasons = pa.field(REASONS, pa.list_(pa.string()))
        self.aside = pa.schema([pa.field(ROW, pa.int64()), *self.read, reasons])
        """What is set aside in quarantine."""

    @property
    def values(self) -> list[str]:
        """The columns of numbers: the targets, then their lower and upper ends if asked for."""
        targets = self.model.bundle.targets
        ends = () if self.interval is None else ("low", "high")
        join = separator(targets)
        return [*targets, *(f"{t}{join}{end}" for end in ends for t in targets)]

    def _values(self) -> Iterator[pa.Field]:
        contract, targets = self.model.contract, self.model.bundle.targets
        for i, name in enumerate(self.values):
            target = targets[i % len(targets)]
            about = getattr(contract.target_columns.get(target), "description", "")
            if i >= len(targets):
                end = "lower" if i < 2 * len(targets) else "upper"
                about = f"{end} end of the {self.interval:g} interval of {target}"
            metadata = {"unit": unit(contract, target), "description": about}
            yield pa.field(name, pa.float64(), metadata=metadata)

    def _mark(self) -> Iterator[pa.Field]:
        if self.marked:
            about = {"description": "why the row is not what the model was made for"}
            yield pa.field(MARK, pa.string(), metadata=about)


def _possible(model: Answering, interval: float | None) -> None:
    if interval is None:
        return
    conformal = model.bundle.conformal
    if conformal is None:
        raise WrongRequest(
            f"--interval: {model.model} version {model.version} has no intervals, since it was "
            "trained without calibration rows"
        )
    if interval not in conformal.levels:
        known = ", ".join(f"{level:g}" for level in conformal.levels)
        raise WrongRequest(f"--interval: expected one of {known}, came {interval:g}")
