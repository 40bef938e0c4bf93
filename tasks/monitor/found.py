"""What was found by watching a champion: columns that drifted, targets whose errors have grown."""

from collections.abc import Mapping

from pydantic import Field

from tasks.records import Record
from tasks.wording import rows_of


class Moved(Record):
    """How one column's recent rows differ from the champion's train rows."""

    column: str
    target: bool
    rows: int
    """Recent rows that have a value."""
    stability: float | None = None
    """The population stability index."""
    distance: float | None = None
    """The Wasserstein distance in units of the train rows' spread; None where it has none."""
    missing: float | None = None
    """By how much the share of missing values has changed; None for targets."""
    new: float | None = None
    """The share of labels that the train rows did not have; None for numbers."""
    labels: tuple[str, ...] = ()
    """Some of those."""
    drifted: tuple[str, ...] = ()
    """The measures that are past their limit and past what is usual, and more than chance."""
    usual: Mapping[str, float] = Field(default_factory=dict)
    """By measure, the greatest effect in a stretch of the train rows as long as the window."""

    @property
    def words(self) -> str:
        """What has drifted, such as `temp: distance 0.61`."""
        return f"{self.column}: {', '.join(map(self._measure, self.drifted))}"

    def _measure(self, name: str) -> str:
        value: float = getattr(self, name)
        if name == "missing":
            return f"missing {value:+.1%}"
        if name == "new":
            some = f" ({', '.join(self.labels)})" if self.labels else ""
            return f"new labels {value:.1%}{some}"
        return f"{name} {value:.2f} (in train rows up to {self.usual.get(name, 0.0):.2f})"


class Decay(Record):
    """One target's error on recent rows beside that on the champion's test rows, in its unit."""

    target: str
    unit: str = ""
    rows: int = 0
    """Recent rows whose truth has come."""
    error: float | None = None
    """The rmse on those; None where there are none."""
    recorded: float | None = None
    """The rmse on the test rows; None where the version does not say."""
    ratio: float | None = None
    low: float | None = None
    """The ends of the ratio's interval; None where the rows do not tell one, which `note` says."""
    high: float | None = None
    decayed: bool = False
    note: str = ""

    @property
    def words(self) -> str:
        """By how much the error has grown, such as `temp: rmse 3.1 °F, 1.4 times 2.2 °F`."""
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{self.target}: rmse {self.error:.4g}{unit}, {self.ratio:.2f} times the "
            f"{self.recorded:.4g}{unit} of the test rows"
        )


class Watch(Record):
    """What watching a champion found."""

    dataset: str
    model: str
    version: str
    rows: int
    since: str | None = None
    """The times of the oldest and the newest row, in ISO 8601; None where rows have none."""
    until: str | None = None
    columns: tuple[Moved, ...] = ()
    """Farthest moved first."""
    targets: tuple[Decay, ...] = ()
    note: str = ""
    """Why there is no drift to tell, where the version keeps no reference."""

    @property
    def drifted(self) -> tuple[Moved, ...]:
        """The columns that have drifted."""
        return tuple(c for c in self.columns if c.drifted)

    @property
    def decayed(self) -> tuple[Decay, ...]:
        """The targets whose errors have grown."""
        return tuple(t for t in self.targets if t.decayed)

    @property
    def summary(self) -> str:
        """What was found in numbers."""
        span = f" since {self.since}" if self.since else ""
        return (
            f"{self.model} version {self.version} on {rows_of(self.rows)}{span}: "
            f"{len(self.drifted)} of {len(self.columns)} columns drifted, "
            f"{len(self.decayed)} of {len(self.targets)} targets decayed"
        )
