"""Permutation importance: by how much the error rises when a feature's values change places.

The share by which each target's rmse rises (Fisher, Rudin & Dominici 2019): 0 for a feature that
says nothing, below 0 by chance. Columns of a vector change places together, and so does what
stands in for their missing values.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.columns import expand
from data_contracts.contract import Contract
from tasks.evaluate.models import Model
from tasks.learning.encoders import stand_in
from tasks.learning.point_sums import PointSums
from tasks.learning.tables import numbers

Values = NDArray[np.float64]

ROWS = 2_000
FEATURES = 60
"""How many features are looked at: the first ones of the contract."""


def importance(
    contract: Contract, model: Model, rows: pa.Table, most: int
) -> dict[str, dict[str, float]]:
    """Return by feature and target the rise of the rmse as a share, on raw `rows`.

    At most `most` rows are asked for at once. A target has no place where the rmse is 0 or
    where no row knows it.
    """
    targets = list(contract.target_columns)
    truth = np.stack([numbers(rows, t) for t in targets], axis=1)
    weight = numbers(rows, contract.row_weight) if contract.row_weight else None
    plain = _rmse(truth, model(rows).mean, weight)
    names = list(contract.features)[:FEATURES]
    found: dict[str, dict[str, float]] = {}
    together = max(1, most // max(1, len(rows)))
    for start in range(0, len(names), together):
        own = names[start : start + together]
        answers = model(pa.concat_tables(_shuffled(rows, own))).mean
        for i, name in enumerate(own):
            part = answers[i * len(rows) : (i + 1) * len(rows)]
            rise = _rmse(truth, part, weight) / plain - 1
            found[name] = {t: float(v) for t, v in zip(targets, rise, strict=True) if v == v}
    return found


def _shuffled(rows: pa.Table, names: list[str]) -> Iterator[pa.Table]:
    """Yield the rows with one feature's values in another order, always the same one."""
    order = pa.array(np.random.default_rng(0).permutation(len(rows)))
    for name in names:
        other = rows
        columns = [c for own in expand(name) for c in (own, stand_in(own))]
        for column in (c for c in columns if c in rows.column_names):
            place = other.column_names.index(column)
            field = other.schema.field(place)
            other = other.set_column(place, field, other.column(column).take(order))
        yield other


def _rmse(truth: Values, predicted: Values, weight: Values | None) -> Values:
    """Return each target's rmse (targets,), NaN where it is 0 or no row is known."""
    sums = PointSums(truth.shape[1])
    sums.add(truth, np.where(np.isfinite(predicted), predicted, np.nan), weight)
    return np.array([e.rmse if e and e.rmse > 0 else np.nan for e in sums.errors()])
