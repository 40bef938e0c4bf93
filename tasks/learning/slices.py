"""Parts of the rows that errors are looked at apart: by label, quarter, hour, season, missingness.

What the parts are is learned from train rows alone. A slice is named `column=label`, such as
`origin=JFK`, `temp=quarter 4`, `season=winter`, `hour=06-12` or `missing=some`.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.columns import CategoricalFeature, TimestampFeature, expand
from data_contracts.contract import Contract
from tasks.learning.tables import labels, numbers, seconds

Codes = NDArray[np.intp]
Kind = Literal["labels", "quarters", "hour", "season", "missing"]

MOST_DIMENSIONS = 40
MOST_LABELS = 20
LEAST_SHARE = 0.01
"""The share of train rows that a label needs to be a slice of its own."""
VECTOR_COLUMNS = 5
"""How many columns of a vector group are looked at: the first ones stand for the others."""
QUARTERS = ("quarter 1", "quarter 2", "quarter 3", "quarter 4")
HOURS = ("00-06", "06-12", "12-18", "18-24")
SEASONS = ("winter", "spring", "summer", "autumn")
OTHER, MISSING = "other", "missing"


@dataclass(frozen=True)
class Dimension:
    """One way to divide rows: into `labels`, by what stands in `columns`.

    `edges` are the greatest values of the first three quarters of the train rows.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Slicer:
    """The dimensions that rows are divided by, each into slices that share no row."""

    dimensions: tuple[Dimension, ...]

    @classmethod
    def fit(cls, contract: Contract, train: pa.Table) -> "Slicer":
        """Return the dimensions of a contract's features and time, from raw train rows.

        Of many rows, some thousands drawn at random do as well. Raises ValueError where a
        column does not hold what the contract says.
        """
        found: dict[str, Dimension] = {}
        for dimension in _dimensions(contract, train):
            found.setdefault(dimension.name, dimension)
            if len(found) == MOST_DIMENSIONS:
                break
        return cls(tuple(found.values()))

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels of each dimension, in the order of their codes."""
        return {d.name: d.labels for d in self.dimensions}

    def assign(self, rows: pa.Table) -> dict[str, Codes]:
        """Return by dimension the code of each raw row's label (rows,), -1 for no label.

        Raises ValueError for a column that is not there or holds something else.
        """
        return {d.name: _ASSIGN[d.kind](d, rows) for d in self.dimensions}

    def to_json(self) -> list[dict[str, Any]]:
        """Return the dimensions as JSON values."""
        return [asdict(d) for d in self.dimensions]

    @classmethod
    def from_json(cls, content: list[dict[str, Any]]) -> "Slicer":
        """Return the slicer that `to_json` told of."""
        lists = ("columns", "labels", "edges")
        return cls(tuple(Dimension(**d | {k: tuple(d[k]) for k in lists}) for d in content))


def _dimensions(contract: Contract, train: pa.Table) -> Iterator[Dimension]:
    yield Dimension("missing", "missing", tuple(contract.feature_columns), ("none", "some"))
    moment = _moment(contract, train)
    if moment and not pa.types.is_date(train.schema.field(moment).type):
        yield Dimension(_free("hour", moment, contract), "hour", (moment,), HOURS)
    if moment:
        yield Dimension(_free("season", moment, contract), "season", (moment,), SEASONS)
    for name, feature in contract.features.items():
        for column in expand(name)[:VECTOR_COLUMNS]:
            if isinstance(feature, CategoricalFeature):
                yield from _labelled(column, train)
            elif not isinstance(feature, TimestampFeature):
                yield from _quartered(column, train)


def _free(name: str, moment: str, contract: Contract) -> str:
    """Return a calendar part's name, with its column where a feature has that name itself."""
    return f"{name} of {moment}" if name in contract.feature_columns else name


def _moment(contract: Contract, train: pa.Table) -> str | None:
    """Return the column that tells hour and season, if there is one that holds points in time."""
    columns = [c for c, f in contract.feature_columns.items() if isinstance(f, TimestampFeature)]
    for column in (contract.time, *columns):
        if column:
            try:
                seconds(train.slice(0, 100), column)
            except ValueError:
                continue  # the rows may be ordered by a number
            return column
    return None


def _labelled(column: str, train: pa.Table) -> Iterator[Dimension]:
    texts, codes = _encoded(train, column)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    enough = [
        i for i in np.argsort(-counts, kind="stable") if counts[i] >= LEAST_SHARE * len(codes)
    ]
    names = [texts[i] for i in enough[:MOST_LABELS]]
    if len(texts) > 1 or (codes < 0).any():
        yield Dimension(column, "labels", (column,), tuple(dict.fromkeys([*names, OTHER, MISSING])))


def _quartered(column: str, train: pa.Table) -> Iterator[Dimension]:
    values = numbers(train, column)
    values = values[np.isfinite(values)]
    if values.size and values.min() < values.max():
        edges = np.quantile(values, (0.25, 0.5, 0.75), method="inverted_cdf")
        yield Dimension(
            column, "quarters", (column,), (*QUARTERS, MISSING), tuple(map(float, edges))
        )


def _encoded(rows: pa.Table, column: str) -> tuple[list[str], Codes]:
    """Return the labels of a column, sorted, and each row's place among them, -1 for missing."""
    encoded = rows.column(column).combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = pc.dictionary_encode(encoded)
    texts = labels(pa.table({column: encoded.dictionary}), column)
    known = sorted({str(t) for t in texts if t is not None})
    places = {t: i for i, t in enumerate(known)}
    own = np.array([places.get(t, -1) for t in texts] + [-1], dtype=np.intp)
    return known, own[pc.fill_null(encoded.indices, len(texts)).to_numpy(zero_copy_only=False)]


def _by_label(dimension: Dimension, rows: pa.Table) -> Codes:
    texts, codes = _encoded(rows, dimension.columns[0])
    places = {label: i for i, label in enumerate(dimension.labels)}
    own = [places.get(t, places[OTHER]) for t in texts]
    return np.array([*own, places[MISSING]], dtype=np.intp)[codes]


def _by_quarter(dimension: Dimension, rows: pa.Table) -> Codes:
    values = numbers(rows, dimension.columns[0])
    quarter = np.searchsorted(dimension.edges, values, side="left")
    return np.where(np.isnan(values), dimension.labels.index(MISSING), quarter)


def _by_hour(dimension: Dimension, rows: pa.Table) -> Codes:
    moments = seconds(rows, dimension.columns[0])
    known = ~np.isnan(moments)
    return np.where(known, np.where(known, moments, 0.0) % 86_400 // 21_600, -1).astype(np.intp)


def _by_season(dimension: Dimension, rows: pa.Table) -> Codes:
    """Seasons as in the north, of three whole months: December to February is winter."""
    moments = seconds(rows, dimension.columns[0])
    known = ~np.isnan(moments)
    days = np.where(known, moments, 0.0).astype("datetime64[s]")
    month = days.astype("datetime64[M]").astype(np.int64) % 12
    return np.where(known, (month + 1) % 12 // 3, -1)


def _by_missing(dimension: Dimension, rows: pa.Table) -> Codes:
    some = np.zeros(len(rows), dtype=bool)
    for column in dimension.columns:
        some |= pc.is_null(rows.column(column), nan_is_null=True).to_numpy()
    return some.astype(np.intp)


_ASSIGN: dict[Kind, Callable[[Dimension, pa.Table], Codes]] = {
    "labels": _by_label,
    "quarters": _by_quarter,
    "hour": _by_hour,
    "season": _by_season,
    "missing": _by_missing,
}
