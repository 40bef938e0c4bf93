"""Fit encoders and scalers on train rows, as the contract says of each column."""

import pyarrow as pa

from data_contracts.columns import (
    CategoricalFeature,
    CyclicFeature,
    Feature,
    NumericFeature,
    Target,
    TimestampFeature,
)
from data_contracts.contract import Contract
from tasks.learning.column_sums import Column, Values
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
from tasks.learning.suitable import refuse
from tasks.learning.train_sums import Train, TrainRows

CLIP = 3.0
"""What `smooth_clip` bends scaled values towards (Holzmüller et al. 2024, RealMLP)."""


def fit_preprocessing(contract: Contract, train: pa.Table) -> Preprocessing:
    """Return encoders and scalers fitted on `train`, raw rows that hold the train split alone.

    Raises Unsuitable where they hold values that a target's output or transform cannot take.
    """
    return fit(contract, TrainRows(train))


def fit(contract: Contract, train: Train) -> Preprocessing:
    """Return encoders and scalers fitted on what is known of the train rows.

    Raises Unsuitable where they hold values that a target's output or transform cannot take.
    """
    refuse(train.breaks(contract))
    encoders = tuple(_fit(c, f, train) for c, f in contract.feature_columns.items())
    presents = contract.present_columns
    scalers = tuple(
        _fit_target(c, t, presents[c] if t.transform == "change" else None, train)
        for c, t in contract.target_columns.items()
    )
    return Preprocessing(encoders, scalers)


def infinite_columns(contract: Contract, train: Train) -> dict[str, int]:
    """Return how many infinite values the columns of the contract have that have any."""
    labels = CategoricalFeature | TimestampFeature
    names = [c for c, f in contract.feature_columns.items() if not isinstance(f, labels)]
    counts = {c: train.column(c).infinite for c in (*names, *contract.target_columns)}
    return {c: count for c, count in counts.items() if count}


def _fit_target(column: str, target: Target, present: str | None, train: Train) -> TargetScaler:
    values = train.column(column)
    fill = train.column(present).mean if present else 0.0
    learned = train.change(column, present) if present else values
    transform = None
    if target.transform in ("log1p", "yeo_johnson", "quantile"):
        sample = values.sample()
        transform = fit_transform(target.transform, sample)
        learned = Values(transform.forward(sample)) if transform else values
    center, scale = _center_scale(learned, target.transform)
    constant = scale == 0
    if target.transform == "none":
        center, scale = 0.0, 1.0
    return TargetScaler(
        column, target.unit, center, scale or 1.0, values.mean, present, fill, constant, transform
    )


def _fit(column: str, feature: Feature, train: Train) -> Encoder:
    match feature:
        case NumericFeature():
            return _fit_numeric(column, feature, train.column(column))
        case CyclicFeature():
            values = train.column(column)
            return CyclicEncoder(column, feature.period, values.known < values.rows)
        case TimestampFeature():
            return TimestampEncoder(column, feature.parts)
        case CategoricalFeature():
            counts, least = train.labels(column), feature.rare or 1
            often = (label for label, rows in counts.items() if rows >= least)
            rare = (label for label, rows in counts.items() if rows < least)
            return CategoricalEncoder(column, tuple(sorted(often)), tuple(sorted(rare)))


def _fit_numeric(column: str, feature: NumericFeature, values: Column) -> NumericEncoder:
    transform = None
    learned = values
    if feature.scaling == "quantile":
        sample = values.sample()
        transform = fit_transform("quantile", sample)
        learned = Values(transform.forward(sample)) if transform else values
    center, scale = _center_scale(learned, feature.scaling)
    return NumericEncoder(
        column,
        _fill(feature, values),
        center,
        scale or 1.0,
        indicator=values.known < values.rows,
        constant=scale == 0,
        transform=transform,
        clip=CLIP if feature.scaling == "smooth_clip" else 0.0,
        forward=feature.impute == "forward_fill",
    )


def _fill(feature: NumericFeature, values: Column) -> float:
    if feature.impute == "constant":
        return feature.fill or 0.0
    if feature.impute == "mean":
        return values.mean
    return values.quantiles([0.5])[0]


def _center_scale(values: Column, method: str) -> tuple[float, float]:
    """Return mean and deviation, or median and quartile range, or the least value and the range;
    0 for the second where nothing varies.

    A robust scale of 0 (more than half of the values are alike) falls back on the deviation.
    What counts as nothing goes by the values' own size, so that a unit changes nothing.
    """
    if not values.known:
        return 0.0, 0.0
    center, scale = values.mean, values.deviation
    size = abs(center)
    if method in ("robust", "smooth_clip"):
        lower, center, upper = values.quantiles([0.25, 0.5, 0.75])
        scale = upper - lower or scale
        size = abs(center)
    if method == "minmax":
        center, greatest = values.ends
        scale, size = greatest - center, max(abs(center), abs(greatest))
    return center, (scale if scale > 1e-12 * size else 0.0)
