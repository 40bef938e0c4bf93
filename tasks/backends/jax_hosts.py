"""Processes of JAX that train one network together, one on each host.

The devices of all of them are JAX's devices then. A process that dies ends the others: at once
where its connections break, and within HEARTBEAT where it falls silent.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

JOINING = 300
"""Seconds that a process waits for all others to come."""
HEARTBEAT = 100
"""Seconds without a sign of life after which a process counts as dead."""
LEAVING = 7 * 24 * 3600
"""Seconds that a process waits for the others at its end: the first one has more to do."""
MEETING = ("Gloo", "NCCL", "coordination", "DEADLINE_EXCEEDED", "UNAVAILABLE")
"""Words, one of which stands in what is said where another process is gone."""


def join(addresses: list[str], count: int, number: int, device: str) -> None:
    """Become one of so many processes. To be called before anything else of JAX.

    `addresses`: the host and port of each; that of the first one is enough.
    """
    # What CPUs add up between processes goes by it; it does not touch GPUs.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would keep the signal by which a cluster ends a process.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        addresses[0], count, number, initialization_timeout=JOINING,
        heartbeat_timeout_seconds=HEARTBEAT, shutdown_timeout_seconds=LEAVING,
    )  # fmt: skip


def first(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the first process' values, of one shape everywhere, in each that calls this."""
    found: Any = multihost_utils.broadcast_one_to_all(values)
    return np.asarray(found, np.int32)


def gone(fault: Exception) -> bool:
    """Say whether a fault is that of another process, which is gone or does not come."""
    # Where a call is not waited for, it is told of as a ValueError.
    told = isinstance(fault, jax.errors.JaxRuntimeError | ValueError)
    return told and any(word in str(fault) for word in MEETING)


def leave() -> None:
    """Wait until all processes have come to their end."""
    jax.distributed.shutdown()
