"""What the page shows beside the records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tasks.drift import Drift


@dataclass(frozen=True)
class ReportSources:
    """Local files, versions, times and addresses."""

    predictions: Path
    """`predictions.parquet`: `_row`, `fold`, `time` if any, `truth/…` and `<model>/…` in units."""
    curves: Path
    """`curves.json`: per member the lists `loss` and `val_loss`."""
    versions: dict[str, str]
    """Version by package."""
    run_id: str
    ended: datetime
    """When the run ended."""
    layers: Path | None = None
    """`layers.json`: per member and layer how many weights are next to nothing."""
    shares: Path | None = None
    """`shares.json`: the share of the answer that each part of a blend has."""
    slices: Path | None = None
    """`slices.parquet`: the errors of every slice that was looked at."""
    importance: Path | None = None
    """`importance.json`: by feature and target, by what share of it shuffling the feature raises
    the RMSE."""
    drift: Sequence[Drift] = ()
    """How far the test rows have moved from the train rows, worst first."""
    drift_from: str = ""
    """What they have moved from, where that is not the candidate's train rows."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage's work took when it was done."""
    links: dict[str, str] = field(default_factory=dict)
    """Where to look next: a path, an address, or an id, by name."""
    reproduce: str = ""
    """The command that repeats the run."""
