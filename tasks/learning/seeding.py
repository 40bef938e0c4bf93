"""Seeds for what Keras draws: those of one recipe, whatever else the process draws."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras.src.random import seed_generator


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, layers and initializers that are made take their seeds from `seed` alone.

    In: the recipe's seed. Keras draws a layer's seed from Python's generator, which is the whole
    process's: a thread that draws between (websockets does, for Prefect) would change the weights.
    So Keras gets a generator of its own meanwhile. The global ones are seeded too, for layers that
    a user wrote.
    """
    keras.utils.set_random_seed(seed)
    seed_generator.python_random = random.Random(seed)
    try:
        yield
    finally:
        seed_generator.python_random = random
