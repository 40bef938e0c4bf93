"""Networks that are trained together end as each does alone."""

import logging
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from tasks.backends import backend
from tasks.learning.batches import batches
from tasks.learning.course import Position
from tasks.learning.feeding import Held
from tasks.learning.fit_many import Job, fit_many, fit_together
from tasks.learning.fitting import fit_network
from tests.builders import plain_layout, small_contract
from tests.test_epochs import arrays

PLAIN = {"architecture": "shared", "hidden": [8], "epochs": 4, "batch_size": 25, "patience": 2}
TRIAL = {
    "averaging": "ema",
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "weight_decay": 0.1,
    "l2": 0.01,
}


def job(number: int, rows: int = 107, others: int = 33, **options: Any) -> Job:
    train, validation = arrays(2 * number, rows), arrays(2 * number + 1, others)
    contract = small_contract(recipe=PLAIN | {"seed": number} | options)
    return Job(f"job_{number}", contract, plain_layout(train), Held(train), Held(validation))


def same(together: Any, own: Job) -> None:
    """Hold that what was trained together is what steps that are taken one by one make."""
    assert isinstance(together, tuple)
    network, curve = fit_network(own.contract, own.layout, own.train, own.validation)
    np.testing.assert_allclose(together[1].loss, curve.loss, rtol=1e-3)
    np.testing.assert_allclose(together[1].val_loss, curve.val_loss, rtol=1e-3)
    for a, b in zip(together[0].get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=1e-4)


def test_batches_hold_each_networks_rows_in_their_order() -> None:
    orders = [np.arange(100, 107, dtype=np.int32), np.arange(9, dtype=np.int32)]
    found = batches(orders, 4)
    assert found.whole.tolist() == [[[100, 101, 102, 103]], [[0, 1, 2, 3]]]
    assert found.tail.tolist() == [
        [[104, 105, 106, 100], [100, 100, 100, 100]], [[4, 5, 6, 7], [8, 0, 0, 0]],
    ]  # fmt: skip
    assert found.counts.tolist() == [[3, 0], [4, 1]]
    assert found.filled
    assert not batches(orders[:1], 4).filled


def test_folds_that_have_a_row_more_or_less_end_as_each_does_alone() -> None:
    jobs = [job(0, 100, 50), job(1, 101, 49), job(2, 99, 51)]
    for found, own in zip(fit_together(jobs, backend()), jobs, strict=True):
        same(found, own)


def test_trials_of_other_numbers_end_as_each_does_alone() -> None:
    jobs = [
        job(0, learning_rate=0.01, dropout=0.1, **TRIAL),
        job(1, learning_rate=0.03, dropout=0.5, **TRIAL | {"l2": 0.1, "weight_decay": 0.3}),
    ]
    for found, own in zip(fit_together(jobs, backend()), jobs, strict=True):
        same(found, own)


def test_each_stops_early_and_slows_down_by_itself() -> None:
    rates = (0.3, 0.03, 0.003)
    jobs = [job(n, learning_rate=r, epochs=12, schedule="plateau") for n, r in enumerate(rates)]
    found = fit_together(jobs, backend())
    assert len({len(f[1].loss) for f in found if isinstance(f, tuple)}) > 1
    for together, own in zip(found, jobs, strict=True):
        same(together, own)


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") != "jax", reason="JAX has this way alone")
def test_networks_side_by_side_end_as_each_does_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = backend()
    way = partial(machine.epoch_of_many, side_by_side=True)
    monkeypatch.setattr(machine, "epoch_of_many", way)
    jobs = [job(0, 100, 50, dropout=0.2), job(1, 101, 49, dropout=0.4)]
    for found, own in zip(fit_together(jobs, machine), jobs, strict=True):
        same(found, own)


def test_one_that_diverges_is_trained_alone_and_the_others_go_on() -> None:
    jobs = [job(0), job(1, learning_rate=1e9), job(2)]
    found = fit_together(jobs, backend())
    assert found[1] is None
    same(found[2], jobs[2])


def test_what_a_teller_raises_ends_its_network_alone() -> None:
    def stop(epoch: int, *_: object) -> None:
        if epoch == 2:
            raise StopIteration(f"{epoch} epochs are enough")

    told: list[int] = []
    first, second = job(0), job(1)
    jobs = [
        Job(first.name, first.contract, first.layout, first.train, first.validation, stop),
        Job(second.name, second.contract, second.layout, second.train, second.validation,
            lambda epoch, *_: told.append(epoch)),
    ]  # fmt: skip
    found = fit_many(jobs, backend())
    assert isinstance(found[0], StopIteration)
    assert told == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "training", "why"),
    [
        ({"averaging": "swa"}, {}, "averaging: swa"),
        ({"target_weights": "gradnorm"}, {}, "target_weights: gradnorm"),
        ({}, {"precision": "mixed_bfloat16"}, "training.precision"),
        ({}, {"accumulate": 2}, "training.accumulate"),
    ],
)
def test_what_is_done_one_by_one_says_so_once(
    options: dict[str, Any], training: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "polycast")
    own = job(0)
    contract = small_contract(recipe=PLAIN | options, training=training)
    jobs = [Job(str(i), contract, own.layout, own.train, own.validation) for i in range(2)]
    assert fit_together(jobs, backend()) == [None, None]
    assert caplog.messages == [f"networks are trained one by one for {why}"]


def test_networks_of_other_shapes_and_other_numbers_of_steps_are_left_alone() -> None:
    jobs = [job(0), job(1, hidden=[9]), job(2, optimizer="sgd"), job(3, rows=400)]
    batch = {"normalization": "batch"}
    jobs += [job(4, rows=100, **batch), job(5, rows=101, **batch)]
    assert fit_together(jobs, backend()) == [None] * 6


class Killed(BaseException):
    """What ends a run at once."""


class Kept:
    """A keeper of checkpoints in memory. The run is killed as it writes number `last`."""

    def __init__(self, kill: int | None = None) -> None:
        self.kill, self.written = kill, list[tuple[Position, bytes]]()
        self.refused: list[str] = []

    def last(self) -> Iterator[tuple[str, bytes]]:
        for position, content in reversed(self.written):
            yield str(position), content

    def refuse(self, name: str, why: str) -> None:
        self.refused.append(why)

    def due(self) -> bool:
        return True

    def write(self, position: Position, content: bytes) -> None:
        self.written.append((position, content))
        if len(self.written) == self.kill:
            raise Killed


def test_a_run_that_is_killed_goes_on_to_the_same_bits_past_a_spoiled_checkpoint() -> None:
    options = {"schedule": "plateau", "learning_rate": 0.1, "dropout": 0.2, "epochs": 6}

    def weights(keeper: Kept) -> list[bytes]:
        jobs = [job(n, 100 + n, **options) for n in range(2)]
        found = fit_together(jobs, backend(), lambda _: keeper)
        return [w.tobytes() for f in found if isinstance(f, tuple) for w in f[0].get_weights()]

    keeper = Kept(kill=4)
    with pytest.raises(Killed):
        weights(keeper)
    position, content = keeper.written[-1]
    keeper.written[-1] = (position, content[:-9])
    keeper.kill = None
    assert weights(keeper) == weights(Kept())
    assert keeper.refused == ["its SHA-256 is not the one that it was written with"]
    assert keeper.written[4][0] == (0, 4, 0)
