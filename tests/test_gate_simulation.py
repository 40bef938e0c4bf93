"""The gate's error rates where the truth is known: by chance, in time and in groups.

Each test simulates hundreds of evaluations of two models whose true ratio of errors is known, and
counts how often the gate is wrong. A one-sided question is asked at 2.5 %; 400 evaluations tell
that from 5 % to within 1 %.
"""

from typing import Any

import numpy as np
import pytest

from tasks.judge import Evidence, judge_scores
from tasks.learning.block_sums import BlockSums
from tasks.learning.paired import Paired, effects
from tasks.records import Opponent, Score, Scores
from tests.builders import CANDIDATE, small_contract

Sums = tuple[Any, Any]
"""Sums of squared errors of candidate and champion, (blocks, targets), equal in truth."""
MARGIN = 0.02
STATED, WRONG = 0.025, 0.05
"""The stated rate of a one-sided error, and what is far above it."""


def by_rows(draw: np.random.Generator, targets: int) -> Sums:
    """Return sums over 40 blocks of 5 independent rows; half of an error is shared."""
    return _squares(draw.normal(size=(3, targets, 200)), 5)


def in_time(draw: np.random.Generator, targets: int) -> Sums:
    """Return sums over 250 moments of 2 rows whose errors hang together (autoregressive)."""
    from scipy.signal import lfilter

    strength = 0.8
    noise = draw.normal(size=(3, targets, 600)) * np.sqrt(1 - strength**2)
    return _squares(lfilter([1.0], [1.0, -strength], noise)[..., 100:], 2)


def in_groups(draw: np.random.Generator, targets: int) -> Sums:
    """Return sums over 30 groups of uneven size, in each of which another model is better."""
    size = np.round(20 * np.exp(draw.normal(size=(30, 1))) + 1)
    scale = np.exp(0.5 * draw.normal(size=(30, targets)))
    gain = np.exp(0.3 * draw.normal(size=(2, 30, targets)))
    own, other = gain * scale * draw.chisquare(size, (2, 30, targets))
    return own, other


def _squares(errors: Any, rows: int) -> Sums:
    shared, own, other = errors
    blocks = [((shared + e) ** 2 / 2).reshape(len(e), -1, rows).sum(axis=2).T for e in (own, other)]
    return blocks[0], blocks[1]


KINDS = {"rows": by_rows, "time": in_time, "group": in_groups}
kinds = pytest.mark.parametrize("order", KINDS)


def found(order: str, own: Any, other: Any, **changes: Any) -> tuple[list[Paired], list[Paired]]:
    """Return the effects by target and the joint one; none where the rows cannot tell."""
    asked: dict[str, Any] = {"metric": "rmse", "margin": MARGIN, "confidence": 0.95} | changes
    critical = [True] * own.shape[1]
    result = effects(np.ones_like(own), own, other, order=order, critical=critical, **asked)
    told = [[e for e in some if isinstance(e, Paired)] for some in (result.targets, [result.joint])]
    return told[0], told[1]


def evaluations(order: str, targets: int, count: int) -> list[Sums]:
    """Return the sums of simulated evaluations."""
    draw = np.random.default_rng(7)
    return [KINDS[order](draw, targets) for _ in range(count)]


@kinds
def test_an_interval_misses_the_truth_no_more_often_than_stated(order: str) -> None:
    # Each target is an evaluation of its own.
    own, other = KINDS[order](np.random.default_rng(3), 500)
    limits = found(order, own, other)[0]
    assert len(limits) > 0.95 * 500
    assert np.mean([e.low > 1 for e in limits]) < WRONG
    assert np.mean([e.high < 1 for e in limits]) < WRONG
    # Nor does it hold the truth by being of no use.
    assert np.mean([e.low > 1 or e.high < 1 for e in limits]) > 0.01


@kinds
def test_a_change_that_is_said_to_be_seen_is_seen(order: str) -> None:
    own, other = KINDS[order](np.random.default_rng(5), 400)
    share = np.median([e.detectable for e in found(order, own, other)[0]])
    better = found(order, own * (1 - share) ** 2, other)[0]
    assert 0.65 < np.mean([e.high < 1 for e in better]) < 0.95


@kinds
@pytest.mark.parametrize("targets", [1, 10])
def test_an_equal_candidate_is_hardly_ever_found_worse_or_better(order: str, targets: int) -> None:
    """On any of the targets, or on the whole: Holm's correction holds the rate for all."""
    worse, better = [], []
    for own, other in evaluations(order, targets, 150):
        single, joint = found(order, own, other, margin=0.0, resamples=200)
        worse.append(any(e.p_worse <= STATED for e in single))
        better.append(any(e.high < 1 for e in joint) or any(e.p_better <= STATED for e in single))
    assert np.mean(worse) < WRONG + 0.02
    assert np.mean(better) < 2 * WRONG


@kinds
@pytest.mark.parametrize("targets", [1, 10])
def test_a_candidate_worse_by_the_margin_on_one_target_is_hardly_ever_passed(
    order: str, targets: int
) -> None:
    passed = []
    ratio = np.full(targets, 0.5)
    ratio[0] = 1 + MARGIN
    for own, other in evaluations(order, targets, 150):
        single, _ = found(order, own * ratio**2, other, resamples=200)
        passed.append(len(single) == targets and all(e.high <= 1 + MARGIN for e in single))
    assert np.mean(passed) < WRONG + 0.02


def folds(draw: np.random.Generator, count: int = 5, repeats: int = 3) -> tuple[Any, Any]:
    """Return sums of squares by fold of two recipes, equal in truth: each sees two of four inputs.

    The recipes are trained by least squares on 60 rows less a fold, so that their errors hang
    together over folds as those of real recipes do.
    """
    inputs, noise = draw.normal(size=(60, 4)), draw.normal(size=60)
    truth = inputs.sum(axis=1) + noise
    sums = []
    for _ in range(repeats):
        for test in np.array_split(draw.permutation(60), count):
            train = np.setdiff1d(np.arange(60), test)
            for seen in (inputs[:, :2], inputs[:, 2:]):
                weights = np.linalg.lstsq(seen[train], truth[train])[0]
                sums.append(((seen[test] @ weights - truth[test]) ** 2).sum())
    own, other = np.array(sums).reshape(-1, 2).T[:, :, None]
    return own, other


def test_equal_recipes_are_hardly_ever_told_apart_over_folds() -> None:
    draw = np.random.default_rng(11)
    wrong: dict[str, list[bool]] = {"corrected": [], "plain": []}
    for _ in range(200):
        own, other = folds(draw)
        for name, overlap in (("corrected", 12 / 48), ("plain", 0.0)):
            _, joint = found("folds", own, other, overlap=overlap)
            wrong[name].append(joint[0].low > 1 or joint[0].high < 1)
    assert np.mean(wrong["corrected"]) < 2 * WRONG
    # What the correction is for: folds that share rows seem to tell more than they do.
    assert np.mean(wrong["plain"]) > 3 * WRONG


def verdict(own: Any, other: Any, order: str) -> Any:
    """Return the gate's verdict on one simulated evaluation of targets that are all critical."""
    names = [f"t{i}" for i in range(own.shape[1])]
    sums = BlockSums(*own.shape)
    sums.sums[:2] = 10.0
    sums.sums[2], sums.sums[4] = own.T, other.T
    one = {"fold": 0, "rows": 1000, "mae": 1.0, "rmse": 1.0, "r2": None, "rrmse": 0.5, "skill": {}}
    scored = tuple(
        Score(**one, model=m, target=t) for m in ("candidate", "champion") for t in names
    )
    facts = Opponent(version="1", order=order, shared=tuple(names))
    scores = Scores(candidate=CANDIDATE, scores=scored, champion="1", opponent_facts=facts)
    targets = {name: {"unit": "K"} for name in names}
    gate = {"rules": [{"rule": "champion", "margin": MARGIN}]}
    return judge_scores(small_contract(targets=targets, gate=gate), scores, Evidence(paired=sums))


@kinds
def test_the_gate_promotes_what_is_better_and_hardly_ever_what_is_equal_or_worse(
    order: str,
) -> None:
    """The verdict as a whole, on three targets: equal, far better, or worse on one of them."""
    passed: dict[str, list[bool]] = {"equal": [], "better": [], "worse": []}
    failed: list[bool] = []
    ratios = {"equal": [1.0, 1.0, 1.0], "better": [0.4, 0.4, 0.4], "worse": [0.4, 0.4, 1.02]}
    for own, other in evaluations(order, 3, 50):
        for name, ratio in ratios.items():
            reached = verdict(own * np.square(ratio), other, order)
            passed[name].append(reached.outcome == "pass")
            if name == "equal":
                lost = [r for r in reached.rulings if not (r.passed or r.unsure)]
                failed.append(any(r.target != "all" for r in lost))
    assert np.mean(passed["better"]) > 0.85
    assert np.mean(passed["worse"]) < 2 * WRONG
    assert np.mean(passed["equal"]) < 2 * WRONG
    assert np.mean(failed) < 2 * WRONG
