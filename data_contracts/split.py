"""How rows are divided into train, validation, calibration and test."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.duration import Duration, seconds
from data_contracts.section import Column, Items, Section, Share, refused

__all__ = ["SPLITS", "Duration", "Split", "dealt", "seconds"]

SPLITS = ("train", "validation", "calibration", "test")


class _Shares(Section):
    train: Share = 0.6
    """The share of rows that the network and every fitted number see."""
    validation: Share = 0.15
    """The share of rows that stops training."""
    calibration: Share = 0.1
    """The share of rows kept for intervals."""
    test: Share = 0.15
    """The share of rows that the verdict is reached on."""

    @model_validator(mode="after")
    def _whole(self) -> "_Shares":
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-9:
            raise refused("train + validation + calibration + test that make 1", round(total, 9))
        if min(self.train, self.validation, self.test) == 0:
            raise refused("train, validation and test each above 0", list(self.shares))
        return self

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The four shares in the order of SPLITS."""
        return (self.train, self.validation, self.calibration, self.test)


def dealt(shares: Mapping[str, float], count: int) -> tuple[str, ...]:
    """Return who gets each of `count` parts: always the one that is owed the most so far."""
    had, found = dict.fromkeys(shares, 0), []
    for i in range(count):
        owed = {name: share * (i + 1) - had[name] for name, share in shares.items()}
        found.append(max(owed, key=owed.__getitem__))
        had[found[-1]] += 1
    return tuple(found)


class TimeSplit(_Shares):
    """In order of time: the oldest rows train, the newest test."""

    kind: Literal["time"]
    gap: Duration = "0s"
    """Rows this soon after a cut are left out, so that no lag or lead reaches across it."""


class BlockedSplit(_Shares):
    """In order of time: stretches of as many rows each are dealt to the splits in turn, so that
    each split sees all seasons."""

    kind: Literal["blocked"]
    blocks: int = Field(default=20, ge=4, le=1000)
    """How many stretches there are. The shares are met to one of them. Under cross-validation they
    are dealt to the folds in turn."""
    gap: Duration = "0s"
    """Rows this soon after a cut between two splits are left out; under cross-validation those this
    near to a fold's test rows, before them and after."""

    @model_validator(mode="after")
    def _enough(self) -> "BlockedSplit":
        short = [s for s, n in zip(SPLITS, self.shares, strict=True) if n and s not in self.dealt]
        if short:
            raise refused(f"more blocks, so that {' and '.join(short)} gets one", self.blocks)
        return self

    @property
    def dealt(self) -> tuple[str, ...]:
        """The split of each block: always the one that is owed the most so far."""
        return dealt(dict(zip(SPLITS, self.shares, strict=True)), self.blocks)


class RandomSplit(_Shares):
    """By the hash of the key: a row keeps its split from snapshot to snapshot."""

    kind: Literal["random"]
    seed: int = 0
    """Another seed gives another division."""


class GroupSplit(_Shares):
    """By the hash of some columns: rows that share them share a split."""

    kind: Literal["group"]
    columns: Items[Column] = Field(min_length=1)
    """The columns that make a group (a station, a plant, a patient)."""
    seed: int = 0
    """Another seed gives another division."""


class StratifiedSplit(_Shares):
    """By the hash of the key within strata of a target: each split has its share of small and
    great values, and of missing ones."""

    kind: Literal["stratified"]
    target: Column
    """The target column whose values make the strata."""
    strata: int = Field(default=10, ge=2, le=100)
    """How many strata of as many rows each there are, beside that of missing values."""
    seed: int = 0
    """Another seed gives another division."""


class ColumnSplit(Section):
    """As a column says: its values are train, validation, calibration and test."""

    kind: Literal["column"]
    column: Column


Split = Annotated[
    TimeSplit | BlockedSplit | RandomSplit | StratifiedSplit | GroupSplit | ColumnSplit,
    ChosenBy("kind"),
]
