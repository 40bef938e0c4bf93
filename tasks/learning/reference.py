"""The reference: what the train rows of a model looked like, column by column, without a row.

`reference.json` in a bundle holds it. A number's column has 100 quantiles and its rows by bin,
which hold a tenth of the rows each; a label's column has its most frequent labels. That is of one
size, however many rows there were. Columns are described one by one: nothing says which values
stood in one row.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
FILE = "reference.json"
QUANTILES = 100
"""How many quantiles describe a number's column: those at 0.005, 0.015, … 0.995."""
MOST_LABELS = 1_000
"""The most labels that are counted each by itself; rarer ones are counted together."""


@dataclass(frozen=True)
class Histogram:
    """One column of some rows."""

    column: str
    target: bool
    rows: int
    """All rows, of which `missing` have no value."""
    missing: int
    low: float | None = None
    """The least and the greatest value, and the standard deviation; None for labels."""
    high: float | None = None
    spread: float | None = None
    cyclic: bool = False
    """Whether the greatest value is next to the least, as with degrees."""
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    """The upper ends of all bins but the last; none for labels."""
    counts: tuple[int, ...] = ()
    """The rows in each bin: of as many as the bins were filled from."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """The rows by label, most frequent first."""
    other: int = 0
    """Rows with a label that has no count of its own."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """By measure of drift, the greatest effect that a stretch of these rows had by itself."""

    @property
    def of_labels(self) -> bool:
        """Whether it is of labels, not of numbers."""
        return not self.edges

    @property
    def missing_share(self) -> float:
        """The share of rows without a value."""
        return self.missing / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Reference:
    """The columns of the rows that a model was trained on: targets first, then features."""

    rows: int
    columns: tuple[Histogram, ...]

    def to_json(self) -> str:
        """Return it as text that `from_json` reads."""
        columns = [_sparse(asdict(c)) for c in self.columns]
        return json.dumps({"format": FORMAT, "rows": self.rows, "columns": columns}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Reference":
        """Read what `to_json` wrote. Raises ValueError for a format that is not this one."""
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"expected reference format {FORMAT}, came {content['format']}")
        return cls(content["rows"], tuple(_histogram(c) for c in content["columns"]))


def read_reference(bundle: Path) -> Reference | None:
    """Return the reference in a bundle's folder; None for a bundle of before there were any."""
    file = bundle / FILE
    return Reference.from_json(file.read_text("utf-8")) if file.exists() else None


def _sparse(content: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if v is not None and v != () and v != {}}


def _histogram(content: dict[str, Any]) -> Histogram:
    for name in ("quantiles", "edges", "counts"):
        content[name] = tuple(content.get(name, ()))
    return Histogram(**content)
