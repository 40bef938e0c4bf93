"""Scores of targets a and b with a known truth, and the gate's verdict on them."""

from typing import Any

import numpy as np

from data_contracts.contract import Contract
from tasks.judge import Evidence, judge_scores
from tasks.learning.block_sums import BlockSums
from tasks.records import Ruling, Score, Scores, Verdict
from tests.builders import CANDIDATE, small_contract

CHAMPION = {"rule": "champion", "margin": 0.02}


def scores(**rmse: tuple[float | None, float | None]) -> Scores:
    """Return scores of targets a and b by model: half of the rmse is the mae, and the candidate
    has half of the train mean's error; R² of nothing where the truth is constant."""
    found = [
        Score(fold=0, model=m, target=t, rows=90, mae=v / 2, rmse=v, r2=None, rrmse=0.5, skill={})
        for m, values in rmse.items()
        for t, v in zip(("a", "b"), values, strict=True)
        if v is not None
    ]
    return Scores(candidate=CANDIDATE, scores=tuple(found))


def certain(found: Scores, blocks: int = 40, rows: int = 100) -> Evidence:
    """Return evidence with no chance in it: errors that lie in one place for both models."""
    sums = BlockSums(blocks, 2)
    sums.sums[0] = rows / blocks
    shape = np.linspace(0.5, 1.5, blocks)
    sums.sums[1] = 1.0
    for i, target in enumerate(("a", "b")):
        for at, model in ((2, "candidate"), (4, "champion")):
            rmse, mae = (found.of(model, target, m) for m in ("rmse", "mae"))
            if rmse is None or mae is None:
                sums.sums[:, i] = 0.0
                break
            sums.sums[at, i], sums.sums[at + 1, i] = rmse**2 * shape, mae * shape
    return Evidence(paired=sums)


def by_chance(
    a: float, b: float = 1.0, blocks: int = 40, rows: int = 100, seed: int = 0
) -> Evidence:
    """Return evidence of rows by chance in which the rmse differs by these ratios in truth."""
    draw = np.random.default_rng(seed)
    sums = BlockSums(blocks, 2)
    own, other = draw.normal(size=(2, blocks * rows, 2)) * np.array([[[a, b]], [[1.0, 1.0]]])
    place = np.repeat(np.arange(blocks), rows)
    sums.add(place, np.zeros_like(own), own, other)
    return Evidence(paired=sums)


def judged(
    rule: dict[str, Any], found: Scores, evidence: Evidence | None = None, **changes: Any
) -> Verdict:
    """Return the verdict of one rule, on evidence with no chance in it where none is given."""
    return judge_scores(contract(rule, **changes), found, evidence or certain(found))


def contract(rule: dict[str, Any], **changes: Any) -> Contract:
    """Return a small contract with a gate of one rule; `gate` adds to it."""
    gate = {"rules": [rule], **changes.pop("gate", {})}
    return small_contract(gate=gate, **changes)


def only(verdict: Verdict, target: str) -> Ruling:
    """Return a verdict's first ruling on a target."""
    return next(r for r in verdict.rulings if r.target == target)
