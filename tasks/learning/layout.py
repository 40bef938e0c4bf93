"""What a network is built for: its inputs column by column, its targets one by one.

All in scaled space: what `Preprocessing.encode` makes and `Preprocessing.scale` returns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.learning.preprocessing import Preprocessing
from tasks.learning.shards import Arrays

if TYPE_CHECKING:
    from data_contracts.contract import Contract


@dataclass(frozen=True)
class Block:
    """The inputs that one column became: positions `start` up to `stop`."""

    kind: str
    """numeric, cyclic, timestamp or categorical."""
    start: int
    stop: int


@dataclass(frozen=True)
class Output:
    """One target: its loss, and what its scaled prediction may be."""

    name: str
    loss: str | None = None
    """The target's own loss; None where the recipe's holds."""
    loss_level: float = 0.5
    weight: float = 1.0
    activation: str = "linear"
    """linear, sigmoid, softplus, relu, exp or softmax."""
    lower: float = -np.inf
    """The least scaled value that the activation may return."""
    upper: float = np.inf
    """The greatest."""


@dataclass(frozen=True)
class Shares:
    """Targets that are shares of one whole: scaled value = share * factor + offset."""

    targets: tuple[int, ...]
    factor: tuple[float, ...]
    offset: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """The inputs and outputs of a network, and train rows to fit data-dependent parts on."""

    inputs: tuple[Block, ...]
    outputs: tuple[Output, ...]
    train: Arrays
    shares: tuple[Shares, ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The positions of each target group's and each vector's targets."""
    count: int | None = None
    """How many train rows there are, where `train` is a choice of them."""
    split: str = "column"
    """By what kind of split train rows are told from others."""
    apart: bool = False
    """True where nothing may be learned from validation rows: they are to judge recipes."""

    @property
    def rows(self) -> int:
        """How many train rows there are."""
        return len(self.train.weight) if self.count is None else self.count

    @property
    def width(self) -> int:
        """How many inputs there are."""
        return self.inputs[-1].stop

    @property
    def targets(self) -> int:
        """How many targets there are."""
        return len(self.outputs)

    @property
    def numeric(self) -> NDArray[np.int64]:
        """The positions of the inputs that are plain numbers, without missing-value marks."""
        return np.array([b.start for b in self.inputs if b.kind == "numeric"], np.int64)


def lay_out(
    contract: "Contract",
    preprocessing: Preprocessing,
    train: Arrays,
    count: int | None = None,
    apart: bool = False,
) -> Layout:
    """Return the layout of a contract's network over fitted preprocessing and train rows.

    `count` is how many rows there are where `train` is a choice of them; `apart`, that nothing may
    be learned from validation rows.
    """
    return Layout(
        inputs=tuple(_blocks(preprocessing)),
        outputs=tuple(_outputs(contract, preprocessing)),
        train=train,
        shares=tuple(_shares(contract, preprocessing)),
        groups=_positions(contract),
        count=count,
        split=contract.split.kind,
        apart=apart,
    )


def _blocks(preprocessing: Preprocessing) -> Iterator[Block]:
    start = 0
    for encoder in preprocessing.encoders:
        stop = start + len(encoder.inputs)
        yield Block(encoder.kind, start, stop)
        start = stop


def _outputs(contract: "Contract", preprocessing: Preprocessing) -> Iterator[Output]:
    targets = contract.target_columns.items()
    for (name, target), scaler in zip(targets, preprocessing.scalers, strict=True):
        lower, upper = -np.inf, np.inf
        if target.output == "sigmoid" and target.bounds is not None:
            lower, upper = (scaler.scaled_limit(b) for b in target.bounds)
        elif target.output in ("softplus", "relu", "exp"):
            lower = scaler.scaled_limit(0.0)
        yield Output(
            name, target.loss, target.loss_level, target.loss_weight, target.output, lower, upper
        )


def _shares(contract: "Contract", preprocessing: Preprocessing) -> Iterator[Shares]:
    positions = _positions(contract)
    for name, group in contract.target_groups.items():
        if group.whole is None or name not in positions:
            continue
        scalers = [preprocessing.scalers[p] for p in positions[name]]
        factor = tuple(group.whole / s.scale for s in scalers)
        yield Shares(positions[name], factor, tuple(-s.center / s.scale for s in scalers))


def _positions(contract: "Contract") -> dict[str, tuple[int, ...]]:
    order = list(contract.target_columns)
    return {g: tuple(order.index(t) for t in targets) for g, targets in contract.groups().items()}
