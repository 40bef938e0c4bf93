"""What a trained trial is worth, by its validation rows.

Its error is the mean over targets of the RMSE in scaled units, computed in float64 from the weights
of the best epoch. It is the same measure whatever loss the recipe trains by.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.backends import backend

if TYPE_CHECKING:
    from tasks.learning.bundle import Member
    from tasks.learning.feeding import Rows

ROWS, CALLS = 1000, 30
"""Latency is the median over so many calls of the milliseconds that so many rows take."""


def values_of(member: "Member", validation: "Rows", objectives: Sequence[str]) -> dict[str, float]:
    """Return `error`, `parameters`, and `latency` in ms per 1,000 rows where it is asked for."""
    values = {"error": _error(member, validation), "parameters": member.network.count_params()}
    if "latency" in objectives:
        values["latency"] = _latency(member, validation)
    return {name: float(value) for name, value in values.items()}


def _error(member: "Member", validation: "Rows") -> float:
    """Return the mean over targets of the RMSE in scaled units, by row weights, over the cells
    that there are."""
    sums, weights = 0.0, 0.0
    targets = len(member.preprocessing.targets)
    for block, order in validation.blocks(np.array, 1, None):
        rows = np.asarray(block)[: len(order)]
        truth = rows[:, -targets - 1 : -1].astype(np.float64)
        weight = rows[:, -1:].astype(np.float64) * np.isfinite(truth)
        missed = np.where(weight > 0, _answer(member, rows[:, : -targets - 1]) - truth, 0.0)
        sums = sums + (weight * missed**2).sum(axis=0)
        weights = weights + weight.sum(axis=0)
    some = np.asarray(weights) > 0
    return float(np.mean(np.sqrt(np.asarray(sums)[some] / np.asarray(weights)[some])))


def _answer(member: "Member", inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    from tasks.learning.networks import architecture

    kind, random = architecture(member.architecture), np.random.default_rng(0)
    inputs = np.ascontiguousarray(inputs)
    return kind.answer(member.network, inputs, member.settings, 0, random).mean


def _latency(member: "Member", validation: "Rows") -> float:
    """Return how many milliseconds the network takes for ROWS rows."""
    some = validation.some.inputs
    inputs = np.ascontiguousarray(some[np.arange(ROWS) % len(some)])
    answer = backend().forward(member.network)
    answer(inputs)  # the first call compiles
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        answer(inputs)
        taken.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(taken))
