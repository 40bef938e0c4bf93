"""Processes of TensorFlow that train one network together, one on each host.

TensorFlow's strategy for them is made as they join, since it must be before anything else. A
process that dies ends the others, where their connections break or its signs of life stay out.
"""

import json
import os
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.backends.tensorflow import over_hosts, use_device

GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
"""What is raised where another process is gone."""


def join(addresses: list[str], count: int, number: int, device: str) -> None:
    """Become one of so many processes. To be called before anything else of TensorFlow.

    `addresses`: the host and port of each.
    """
    task = {"type": "worker", "index": number}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    use_device(device)
    over_hosts.append(tf.distribute.MultiWorkerMirroredStrategy())


def first(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the first process' values, of one shape everywhere, in each that calls this."""
    strategy = over_hosts[-1]

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def own(mine: Any) -> Any:
        context = tf.distribute.get_replica_context()
        leads = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.int32)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, mine * leads)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def run(mine: Any) -> Any:
        return strategy.run(own, args=(mine,))

    mine = tf.constant(values, tf.int32)
    # Traced by itself, or TensorFlow would warn of tracing again.
    found = strategy.experimental_local_results(run.get_concrete_function(mine)(mine))[0]
    return np.asarray(found, np.int32)


def gone(fault: Exception) -> bool:
    """Say whether a fault is that of another process, which is gone or does not come."""
    return isinstance(fault, GONE)


def leave() -> None:
    """Wait until all processes have come to their end."""
    first(np.zeros(1, np.int32))
