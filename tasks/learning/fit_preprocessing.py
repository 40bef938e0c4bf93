"""Fit encoders and scalers on train rows, as the contract says of each column."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.columns import (
    CategoricalFeature,
    CyclicFeature,
    Feature,
    NumericFeature,
    Target,
    TimestampFeature,
)
from data_contracts.contract import Contract
from tasks.learning.encoders import (
    CategoricalEncoder,
    CyclicEncoder,
    Encoder,
    NumericEncoder,
    TargetScaler,
    TimestampEncoder,
)
from tasks.learning.fit_transforms import fit_transform
from tasks.learning.preprocessing import Preprocessing
from tasks.learning.suitable import check_suitable
from tasks.learning.tables import labels, numbers


def fit_preprocessing(contract: Contract, train: pa.Table) -> Preprocessing:
    """Return encoders and scalers fitted on `train`, raw rows that hold the train split alone.

    Raises Unsuitable where they hold values that a target's output or transform cannot take.
    """
    check_suitable(contract, train)
    encoders = tuple(_fit(c, f, train) for c, f in contract.feature_columns.items())
    presents = contract.present_columns
    scalers = tuple(
        _fit_target(c, t, presents[c] if t.transform == "change" else None, train)
        for c, t in contract.target_columns.items()
    )
    return Preprocessing(encoders, scalers)


def _fit_target(column: str, target: Target, present: str | None, train: pa.Table) -> TargetScaler:
    values = numbers(train, column)
    mean = _center_scale(values, "standard")[0]
    now = numbers(train, present) if present else np.zeros_like(values)
    fill = _center_scale(now, "standard")[0]
    transform = fit_transform(target.transform, values)
    learned = transform.forward(values) if transform else values - now
    center, scale = _center_scale(learned, target.transform)
    constant = scale == 0
    return TargetScaler(
        column, target.unit, center, scale or 1.0, mean, present, fill, constant, transform
    )


def _fit(column: str, feature: Feature, train: pa.Table) -> Encoder:
    match feature:
        case NumericFeature():
            values = numbers(train, column)
            known = values[~np.isnan(values)]
            fill = float(np.median(known)) if known.size else 0.0
            center, scale = _center_scale(values, feature.scaling)
            indicator = known.size < values.size
            return NumericEncoder(column, fill, center, scale or 1.0, indicator, scale == 0)
        case CyclicFeature():
            missing = bool(np.isnan(numbers(train, column)).any())
            return CyclicEncoder(column, feature.period, missing)
        case TimestampFeature():
            return TimestampEncoder(column, feature.parts)
        case CategoricalFeature():
            seen = {label for label in labels(train, column) if label is not None}
            return CategoricalEncoder(column, tuple(sorted(seen)))


def _center_scale(values: NDArray[np.float64], method: str) -> tuple[float, float]:
    """Return mean and deviation, or median and quartile range; 0 for it where nothing varies.

    A robust scale of 0 (more than half of the values are alike) falls back on the deviation.
    What counts as nothing goes by the values' own size, so that a unit changes nothing.
    """
    known = values[~np.isnan(values)]
    if known.size == 0:
        return 0.0, 0.0
    center, scale = float(known.mean()), float(known.std())
    if method == "robust":
        lower, center, upper = (float(q) for q in np.quantile(known, [0.25, 0.5, 0.75]))
        scale = upper - lower or scale
    return center, (scale if scale > 1e-12 * abs(center) else 0.0)
