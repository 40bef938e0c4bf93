"""The numbers that a network computes in while it is trained; what is kept computes in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

FULL = "float32"


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Let what is built meanwhile compute in `precision`, a name of Keras' dtype policies."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
