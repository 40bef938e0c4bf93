"""How rows are divided into train, validation, calibration and test."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data_contracts.annotations import ChosenBy
from data_contracts.duration import Duration, seconds
from data_contracts.section import Column, Items, Section, Share, refused

__all__ = ["SPLITS", "Duration", "Split", "seconds"]

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


class TimeSplit(_Shares):
    """In order of time: the oldest rows train, the newest test."""

    kind: Literal["time"]
    gap: Duration = "0s"
    """Rows this soon after a cut are left out, so that no lag or lead reaches across it."""


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


class ColumnSplit(Section):
    """As a column says: its values are train, validation, calibration and test."""

    kind: Literal["column"]
    column: Column


Split = Annotated[TimeSplit | RandomSplit | GroupSplit | ColumnSplit, ChosenBy("kind")]
