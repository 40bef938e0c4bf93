"""A problem of two modes: two targets that are far up and down, or far down and up, by chance.

The mean of both modes is never seen: what predicts a mean, or one Gaussian, is wrong in all rows.
"""

from functools import cache
from typing import Any

import keras
import numpy as np

from tasks.learning.fitting import fit_network
from tasks.learning.networks import architecture
from tasks.learning.predictions import Answer
from tasks.learning.scores import crps_samples, energy_score
from tasks.learning.shards import Arrays
from tests.builders import plain_layout, small_contract

NOISE = 0.1


def size(inputs: np.ndarray) -> np.ndarray:
    """Return how far both targets are from nothing (rows, 2)."""
    return np.stack([1 + 0.4 * np.sin(3 * inputs[:, 0]), 1 + 0.4 * inputs[:, 1]], axis=1)


def two_modes(seed: int, rows: int, missing: float = 0.0) -> Arrays:
    """Return rows whose targets are (size, -size) or (-size, size) with equal chance, and noise."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, (rows, 2))
    side = draw.choice([-1.0, 1.0], rows)[:, None] * [1.0, -1.0]
    truth = side * size(inputs) + NOISE * draw.normal(size=(rows, 2))
    truth[draw.random(truth.shape) < missing] = np.nan
    return Arrays(inputs.astype("f"), truth.astype("f"), np.ones(rows, "f"))


TRAIN = two_modes(1, 1500, missing=0.1)
VALIDATION = two_modes(2, 400, missing=0.1)
TEST = two_modes(3, 400)


def trained(name: str, **options: Any) -> tuple[keras.Model, Any]:
    """Return a network of an architecture fitted to the problem, and its learning curve."""
    recipe = {"architecture": name, "hidden": [32], "batch_size": 50, "learning_rate": 5e-3}
    contract = small_contract(recipe=recipe | options)
    return fit_network(contract, plain_layout(TRAIN), TRAIN, VALIDATION)


def answered(name: str, network: keras.Model, draws: int, **options: Any) -> Answer:
    """Return a network's answer for the test rows."""
    recipe = small_contract(recipe={"architecture": name} | options).recipe
    kind = architecture(name)
    settings = kind.settings(recipe, plain_layout(TRAIN))
    return kind.answer(network, TEST.inputs, settings, draws, np.random.default_rng(0))


def shares(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the share of samples near each mode, by row, and of all that lie in the middle.

    Near a mode are samples of which both targets are within half a size; in the middle are those
    with either target within half a size of nothing.
    """
    relative = samples / size(TEST.inputs)[:, None]
    up, down = ((abs(relative - mode) < 0.5).all(axis=-1).mean(axis=1) for mode in MODES)
    return up, down, float((abs(relative) < 0.5).any(axis=-1).mean())


MODES = (np.array([1.0, -1.0]), np.array([-1.0, 1.0]))


def scores(samples: np.ndarray) -> np.ndarray:
    """Return the CRPS of each target and the energy score of both."""
    truth = TEST.targets
    crps = [crps_samples(truth[:, i], samples[..., i]) for i in range(2)]
    return np.array([*crps, energy_score(truth, samples)])


@cache
def gaussian_scores() -> np.ndarray:
    """Return the scores of a network that predicts one Gaussian per target."""
    network, _ = trained("shared", loss="gaussian_nll", epochs=15)
    samples = answered("shared", network, 100, loss="gaussian_nll").samples
    assert samples is not None
    return scores(samples)
