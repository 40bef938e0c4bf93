"""One seed makes one network, whatever else the process draws."""

import random
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from keras.src.random import seed_generator

from tasks.learning.fitting import new_trainee
from tests.builders import plain_layout, small_contract
from tests.test_epochs import TRAIN


@pytest.fixture
def _one_who_draws() -> Iterator[None]:
    """A thread that draws from Python's generator all the time, as a connection's may."""
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            random.random()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=draw)
    thread.start()
    yield
    done.set()
    thread.join()
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_one_who_draws")
@pytest.mark.parametrize("architecture", ["shared", "ensemble", "cvae"])
def test_a_seed_makes_the_same_network_beside_a_thread_that_draws(architecture: str) -> None:
    recipe = {"architecture": architecture, "hidden": [8, 8], "dropout": 0.2, "seed": 3}
    contract = small_contract(recipe=recipe)
    made = [new_trainee(contract, plain_layout(TRAIN), len(TRAIN.inputs), None) for _ in range(10)]
    weights = [b"".join(np.asarray(v).tobytes() for v in m.variables) for m in made]
    assert len(set(weights)) == 1


def test_what_a_process_draws_is_its_own_again_afterwards() -> None:
    new_trainee(small_contract(), plain_layout(TRAIN), len(TRAIN.inputs), None)
    assert seed_generator.python_random is random
