"""Rows in batches of any size and any order, for what must not depend on either."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from tasks.learning.predictions import Predictions


def batches(rows: int, seed: int, most: int = 9) -> Iterator[np.ndarray]:
    """Yield all rows, shuffled, in `most` batches at most; some may be empty."""
    draw = np.random.default_rng(seed)
    cuts = np.sort(draw.integers(0, rows + 1, draw.integers(0, most)))
    yield from np.split(draw.permutation(rows), cuts)


def some(predictions: Predictions, rows: np.ndarray) -> Predictions:
    """Return what a model answers to some rows."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cut(v) for key, v in value.items()}
        if isinstance(value, tuple):
            return tuple(cut(v) for v in value)
        return None if value is None else value[rows]

    parts = ("mean", "spread", "quantiles", "samples", "intervals", "regions")
    return replace(predictions, **{p: cut(getattr(predictions, p)) for p in parts})


def assert_alike(found: Any, expected: Any) -> None:
    """Hold that two records have the same values, but for rounding."""
    assert found is not None
    assert expected is not None
    for name, value in asdict(found).items():
        assert value == pytest.approx(getattr(expected, name)), name
