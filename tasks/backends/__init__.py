"""What Keras does not offer on every backend, one file per backend, behind one interface.

Import this before Keras: `backend()` chooses by KERAS_BACKEND, TensorFlow unless set.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tasks.learning.alike import Dial
    from tasks.learning.epochs import Stepping
    from tasks.learning.feeding import Matrix
    from tasks.learning.stacks import Epoch
    from tasks.learning.trainee import Trainee

NAMES = ("tensorflow", "jax")


class Backend(Protocol):
    """What a backend's file offers."""

    def use_device(self, device: str) -> str:
        """Let the framework see `auto`, `cpu` or `gpu` alone; return the device's name.

        Raises MissingPart where a GPU is asked for and none is seen.
        """
        ...

    def spread(self, parallel: str) -> AbstractContextManager[int]:
        """Let what is made within be trained over all devices, by `data` or `model`; yield how many
        these are.

        Raises MissingPart where the backend has no such way.
        """
        ...

    def gradients(self, function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
        """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""
        ...

    def resident(self, matrix: "Matrix") -> Any:
        """Return rows as they lie on the device."""
        ...

    def stepping(
        self, trainee: "Trainee", batch_size: int, inputs: int, parts: int = 1
    ) -> "Stepping":
        """Return what takes a Keras model's training steps through resident rows, of which so
        many columns are inputs, in the order of positions, as one compiled call. The gradients of
        a batch come from so many parts of it."""
        ...

    def testing(self, trainee: "Trainee", batch_size: int, inputs: int) -> "Stepping":
        """Return what returns the validation losses of resident rows, as one compiled call."""
        ...

    def epoch_of_many(
        self, trainee: "Trainee", places: "Sequence[Dial]", inputs: int, filled: bool
    ) -> "Epoch":
        """Return what takes an epoch of networks of the trainee's shape in one compiled call, with
        numbers of their own at some dials; `filled` where batches hold rows that do not count."""
        ...

    def forward(self, network: Any) -> Callable[[Any], NDArray[Any]]:
        """Return a compiled function of a Keras network's inputs to its output, for any number
        of rows."""
        ...


class Hosts(Protocol):
    """What a backend's file offers to processes that train together."""

    def join(self, addresses: list[str], count: int, number: int, device: str) -> None:
        """Become one of so many processes, at these hosts and ports, before anything else of the
        backend; compute on `auto`, `cpu` or `gpu`."""
        ...

    def first(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the first process' values, of one shape everywhere, in each that calls this."""
        ...

    def gone(self, fault: Exception) -> bool:
        """Say whether a fault is that of another process, which is gone or does not come."""
        ...

    def leave(self) -> None:
        """Wait until all processes have come to their end."""
        ...


def chosen() -> str:
    """Return the chosen backend's name. Raises ValueError for a name that is none."""
    name = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if name not in NAMES:
        raise ValueError(f"KERAS_BACKEND: expected {' or '.join(NAMES)}, came {name}")
    return name


def backend() -> Backend:
    """Return the chosen backend's file. Raises ValueError for a name that has none."""
    if chosen() == "tensorflow":
        from tasks.backends import tensorflow

        return tensorflow
    from tasks.backends import jax

    return jax


def backend_hosts() -> Hosts:
    """Return the chosen backend's file for processes that train together."""
    if chosen() == "tensorflow":
        from tasks.backends import tensorflow_hosts

        return tensorflow_hosts
    from tasks.backends import jax_hosts

    return jax_hosts
