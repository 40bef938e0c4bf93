"""The paired test: effects, intervals and p-values from sums by block."""

from typing import Any

import numpy as np
import pytest

from tasks.learning.block_length import block_length
from tasks.learning.bootstrap import moving_sums
from tasks.learning.holm import holm
from tasks.learning.paired import MOST, Effects, Paired, effects

ASKED: dict[str, Any] = {
    "metric": "rmse",
    "order": "rows",
    "margin": 0.02,
    "confidence": 0.95,
}


def sums(ratio: Any = 1.0, blocks: int = 60, targets: int = 2, seed: int = 0) -> tuple[Any, Any]:
    """Return sums of squares of both models by block; the truth is that the rmse has a ratio."""
    draw = np.random.default_rng(seed)
    other, own = draw.chisquare(20, (2, blocks, targets))
    return own * np.square(ratio), other


def asked(own: Any, other: Any, **changes: Any) -> Effects:
    critical = changes.pop("critical", [True] * own.shape[1])
    weight = changes.pop("weight", np.ones_like(own))
    return effects(weight, own, other, critical=critical, **(ASKED | changes))


def known(effect: Paired | str) -> Paired:
    assert isinstance(effect, Paired), effect
    return effect


def test_an_effect_is_the_ratio_of_the_errors_and_lies_in_its_interval() -> None:
    own, other = sums(0.8)
    found = asked(own, other)
    for i, effect in enumerate(map(known, found.targets)):
        ratio = np.sqrt(own[:, i].sum() / other[:, i].sum())
        assert effect.ratio == pytest.approx(ratio)
        assert effect.low < ratio < effect.high < 1
        assert effect.blocks == 60
    ratios = [known(e).ratio for e in found.targets]
    assert known(found.joint).ratio == pytest.approx(np.sqrt(ratios[0] * ratios[1]))
    joint, single = known(found.joint), known(found.targets[0])
    assert joint.detectable < single.detectable


def test_an_absolute_error_has_the_ratio_of_its_sums() -> None:
    own, other = sums()
    found = known(asked(own, other, metric="mae").targets[0])
    assert found.ratio == pytest.approx(own[:, 0].sum() / other[:, 0].sum())


@pytest.mark.parametrize("order", ["rows", "time", "folds"])
def test_an_effect_knows_no_unit_and_no_weight_and_does_the_same_twice(order: str) -> None:
    own, other = sums(0.9)
    first = asked(own, other, order=order)
    for factor in (1e-40, 1e30):
        again = known(asked(own * factor, other * factor, order=order).targets[0])
        assert vars(again) == pytest.approx(vars(known(first.targets[0])))
    assert asked(own, other, order=order) == first


def test_exchanging_the_models_turns_the_effect_round() -> None:
    own, other = sums(0.9)
    there, back = known(asked(own, other).targets[0]), known(asked(other, own).targets[0])
    assert back.ratio == pytest.approx(1 / there.ratio)
    assert back.low == pytest.approx(1 / there.high, rel=0.01)


def test_the_order_of_blocks_matters_in_time_alone() -> None:
    own, other = sums(blocks=800, targets=1)
    noise = np.random.default_rng(1).normal(size=810)
    drift = np.exp(np.convolve(noise, np.ones(11) / 7, "valid"))[:, None]
    mixed = np.random.default_rng(0).permutation(800)
    width = {
        (order, name): np.log(e.high / e.low)
        for order in ("rows", "time")
        for name, rows in (("in order", np.arange(800)), ("mixed", mixed))
        for e in [known(asked((own * drift)[rows], other[rows], order=order).targets[0])]
    }
    assert width["rows", "in order"] == pytest.approx(width["rows", "mixed"], rel=0.1)
    assert width["time", "in order"] > 1.5 * width["time", "mixed"]


def test_blocks_without_weight_are_left_out() -> None:
    own, other = sums(blocks=20)
    gap = np.zeros((30, 2))
    weight = np.concatenate([np.ones((20, 2)), gap])
    more = asked(np.concatenate([own, gap]), np.concatenate([other, gap]), weight=weight)
    assert more == asked(own, other)


def test_the_same_answers_are_a_tie_without_chance() -> None:
    own, _ = sums()
    effect = known(asked(own, own.copy()).targets[0])
    assert (effect.ratio, effect.low, effect.high) == (1.0, 1.0, 1.0)
    assert (effect.p_worse, effect.p_better) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("own", "other", "log"),
    [(0.0, 1.0, -MOST), (1.0, 0.0, MOST), (0.0, 0.0, 0.0), (1.0, np.inf, -MOST)],
)
def test_an_error_of_nothing_or_without_end_is_certain(
    own: float, other: float, log: float
) -> None:
    shape = sums()[0]
    with np.errstate(invalid="ignore"):
        effect = known(asked(own * shape, np.where(other, other * shape, 0.0)).targets[0])
    assert np.log([effect.low, effect.high]) == pytest.approx([log, log])
    assert effect.p_better == float(log >= 0)
    assert effect.p_worse == float(log <= 0)


def test_a_target_without_any_error_is_left_out_of_the_whole() -> None:
    own, other = sums(0.8)
    own[:, 1] = other[:, 1] = 0.0
    found = asked(own, other)
    assert known(found.joint).ratio == known(found.targets[0]).ratio


def test_the_whole_is_made_of_critical_targets() -> None:
    own, other = sums([0.5, 1.5])
    found = asked(own, other, critical=[True, False])
    assert known(found.joint).ratio == known(found.targets[0]).ratio
    none = asked(own, other, critical=[False, False])
    assert none.joint == "no critical target can be compared"


@pytest.mark.parametrize(
    ("order", "blocks", "reason"),
    [
        ("rows", 7, "7 blocks of rows, and at least 8 are needed"),
        ("group", 7, "7 groups, and at least 8 are needed"),
        ("time", 31, "31 stretches of time, and at least 32 are needed"),
        ("folds", 2, "2 folds, and at least 3 are needed"),
    ],
)
def test_few_blocks_cannot_tell(order: str, blocks: int, reason: str) -> None:
    found = asked(*sums(0.1, blocks=blocks), order=order)
    assert found.targets == (reason, reason)


def test_a_cycle_of_the_day_is_no_memory_without_end() -> None:
    own, other = sums(blocks=24 * 40, targets=1)
    day = 1 + 0.6 * np.sin(2 * np.pi * np.arange(24 * 40) / 24)[:, None]
    found = known(asked(own * day, other / day, order="time").targets[0])
    free = known(asked(own, other, order="time").targets[0])
    assert np.log(found.high / found.low) < 2 * np.log(free.high / free.low)


def test_errors_that_hang_together_for_too_long_cannot_tell() -> None:
    own, other = sums(blocks=200, targets=1)
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    found = asked(own * np.exp(walk / 5)[:, None], other, order="time").targets[0]
    assert isinstance(found, str)
    assert found.startswith("errors hang together over")


def test_each_of_a_hundred_targets_can_be_shown_to_be_worse_for_all_that_holm_asks() -> None:
    found = asked(*sums(1.3, targets=100))
    assert max(known(e).p_worse for e in found.targets) < 0.01


def test_folds_count_more_the_more_rows_they_share() -> None:
    own, other = sums(0.8, blocks=10, targets=1)
    apart, shared = (known(asked(own, other, order="folds", overlap=o).joint) for o in (0.0, 0.25))
    gap = np.log(shared.high / shared.ratio) / np.log(apart.high / apart.ratio)
    assert gap == pytest.approx(np.sqrt((0.1 + 0.25) / 0.1))


def test_arrays_of_other_shapes_are_refused() -> None:
    own, other = sums()
    with pytest.raises(ValueError, match=r"expected three arrays \(blocks, 2\)"):
        asked(own, other[:, :1])
    with pytest.raises(ValueError, match=r"expected three arrays \(blocks, 1\)"):
        asked(own, other, critical=[True])


def test_holms_correction_steps_down() -> None:
    # Worked out by hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, then the greatest so far.
    found = holm(np.array([0.01, 0.04, 0.03, 0.005, np.nan]))
    assert found[:4] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(found[4])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.zeros(0)).size == 0


@pytest.mark.parametrize("strength", [0.5, 0.8])
def test_blocks_are_as_long_as_theory_asks_of_an_autoregression(strength: float) -> None:
    # Politis & White (2004, section 3.2) for x[t] = strength x[t-1] + noise.
    n, found = 2000, []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=n)
        series = np.zeros(n)
        for t in range(1, n):
            series[t] = strength * series[t - 1] + noise[t]
        found.append(block_length(series))
    theory = (6 * n * strength**2 / (1 - strength**2) ** 2) ** (1 / 3)
    assert np.median(found) == pytest.approx(theory, rel=0.35)


def test_independent_series_need_no_blocks() -> None:
    found = [block_length(np.random.default_rng(s).normal(size=500)) for s in range(20)]
    assert np.median(found) == 1
    assert block_length(np.ones(50)) == 1


def test_runs_go_around() -> None:
    assert moving_sums(np.array([1.0, 2.0, 4.0]), 2).tolist() == [3.0, 6.0, 5.0]
