"""What is asked of a prediction, and what came of it."""

from dataclasses import dataclass
from typing import Literal

from tasks.records import Reason, Record
from tasks.wording import rows_of

Invalid = Literal["stop", "quarantine", "mark"]
"""What becomes of rows that are not what the model was made for. stop: nothing is written.
quarantine: they go to a file of their own, with the reasons. mark: they are answered as far as that
is possible, and a column `_invalid` says what is wrong."""


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    source: str
    """A Parquet file, a folder of such files, or an address of one of both."""
    out: str
    """The Parquet file that is written, or its address."""
    version: str | None = None
    """The version that answers; the champion where none is named."""
    interval: float | None = None
    """The level of the intervals that are asked for, None for none."""
    invalid: Invalid = "stop"


class Prediction(Record):
    """What was answered, by which version, and where it lies."""

    dataset: str
    model: str
    version: str
    out: str
    rows: int
    """How many rows were read."""
    written: int
    """How many of them are in `out`: all but those in quarantine."""
    invalid: int = 0
    """How many rows are not what the model was made for."""
    reasons: tuple[Reason, ...] = ()
    """Why, the reason with most rows first."""
    quarantine: str | None = None
    """The file with the rows that were set aside, None where there is none."""
    interval: float | None = None
    resumed: int = 0
    """How many rows a run that was killed had read before."""
    seconds: float = 0.0

    @property
    def summary(self) -> str:
        """The rows, and the version that answered."""
        return f"{rows_of(self.written)} by {self.model} version {self.version}"
