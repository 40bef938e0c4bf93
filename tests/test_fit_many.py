"""Networks that are trained together end as each does alone."""

from typing import Any

import numpy as np

from tasks.backends import backend
from tasks.learning.feeding import Held
from tasks.learning.fit_many import Job, fit_together
from tasks.learning.fitting import fit_network
from tests.builders import plain_layout, small_contract
from tests.test_epochs import arrays

PLAIN = {"architecture": "shared", "hidden": [8], "epochs": 6, "batch_size": 25, "patience": 2}


def job(number: int, rows: int = 107, others: int = 33, **options: Any) -> Job:
    train, validation = arrays(2 * number, rows), arrays(2 * number + 1, others)
    contract = small_contract(recipe=PLAIN | {"seed": number} | options)
    return Job(f"job_{number}", contract, plain_layout(train), Held(train), Held(validation))


def alone(own: Job) -> Any:
    return fit_network(own.contract, own.layout, own.train, own.validation, None, backend())


def check(jobs: list[Job], **tolerances: float) -> list[Any]:
    found = fit_together(jobs, backend())
    for own, together in zip(jobs, found, strict=True):
        assert isinstance(together, tuple)
        network, curve = alone(own)
        np.testing.assert_allclose(together[1].loss, curve.loss, rtol=1e-3)
        np.testing.assert_allclose(together[1].val_loss, curve.val_loss, rtol=1e-3)
        assert together[1].best_epoch == curve.best_epoch
        for a, b in zip(together[0].get_weights(), network.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=5e-3, atol=1e-4)
    return found


def test_folds_that_have_a_row_more_or_less_end_as_each_does_alone() -> None:
    check([job(0, 100, 50), job(1, 101, 49), job(2, 99, 51)])


def test_trials_of_other_numbers_end_as_each_does_alone() -> None:
    check(
        [
            job(
                0,
                optimizer="adamw",
                learning_rate=0.01,
                weight_decay=0.1,
                l2=0.01,
                dropout=0.1,
                schedule="one_cycle",
            ),
            job(
                1,
                optimizer="adamw",
                learning_rate=0.03,
                weight_decay=0.3,
                l2=0.1,
                dropout=0.5,
                schedule="one_cycle",
            ),
            job(
                2,
                optimizer="adamw",
                learning_rate=0.03,
                weight_decay=0.3,
                l2=0.1,
                dropout=0.5,
                schedule="one_cycle",
            ),
        ]
    )


def test_each_stops_early_and_slows_down_by_itself() -> None:
    found = check(
        [job(n, learning_rate=0.3 / 10**n, epochs=12, schedule="plateau") for n in range(3)]
    )
    assert len({len(f[1].loss) for f in found}) > 1
