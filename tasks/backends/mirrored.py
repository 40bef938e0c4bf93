"""Steps of TensorFlow over several devices, each with the whole network and a part of every batch.

A batch that cannot be divided evenly, which only the last one may be, is taken whole by each.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tasks.learning.epochs import Losses, Stepping
from tasks.learning.feeding import Order
from tasks.learning.trainee import Trainee


def mirrored(step: Callable[[Any, Any], None], trainee: Trainee, batch_size: int) -> Stepping:
    """Return what takes steps through rows that lie on each device, as a compiled call.

    A step takes the rows and the positions of those that it is for. To be called in the scope of a
    strategy; `batch_size` is that of all devices together.
    """
    strategy = tf.distribute.get_strategy()
    devices = strategy.num_replicas_in_sync
    trainee.share = 1.0 / devices

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def own(rows: Any, batch: Any) -> None:
        size = batch.shape[0]
        if size % devices == 0:
            part, context = size // devices, tf.distribute.get_replica_context()
            batch = tf.slice(batch, [context.replica_id_in_sync_group * part], [part])
        step(rows, batch)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def run(rows: Any, batches: Any) -> None:
        def body(number: Any) -> Any:
            strategy.run(own, args=(rows, batches[number]))
            return (number + 1,)

        tf.while_loop(lambda number: number < tf.shape(batches)[0], body, (tf.constant(0),))

    def taking(rows: Any, batches: Order) -> Losses:
        trainee.reset_metrics()
        run(rows, tf.convert_to_tensor(batches))
        return trainee.measured()

    def call(rows: Any, order: Order) -> Losses:
        whole = len(order) // batch_size * batch_size
        cut = [order[:whole].reshape(-1, batch_size), order[whole:].reshape(1, -1)]
        made = [(part.size, taking(rows, part)) for part in cut if part.size]
        sizes, losses = zip(*made, strict=True)
        return {k: float(np.average([p[k] for p in losses], weights=sizes)) for k in losses[0]}

    return call
