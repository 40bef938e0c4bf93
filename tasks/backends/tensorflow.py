"""TensorFlow, the default backend."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.backends.mirrored import mirrored
from tasks.backends.tensorflow_many import epoch_of_many as epoch_of_many
from tasks.learning.accumulation import mean_gradients, part_size
from tasks.learning.epochs import Losses, Stepping
from tasks.learning.errors import MissingPart
from tasks.learning.feeding import Matrix, Order
from tasks.learning.shards import ALIGNED
from tasks.learning.trainee import Trainee

log = logging.getLogger("polycast")

over_hosts: list[Any] = []
"""The strategy of the processes that this one has joined."""


def use_device(device: str) -> str:
    """Let TensorFlow see `auto`, `cpu` or `gpu` alone; return the device's name.

    GPU memory is taken as it is needed. Raises MissingPart where a GPU is asked for and none
    is seen.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise MissingPart(
            "training.device is gpu, but TensorFlow sees none here: set it to auto or cpu, or "
            "install tensorflow[and-cuda] on a machine with a GPU"
        )
    if device == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", "gpu"))


@contextmanager
def spread(parallel: str) -> Iterator[int]:
    """Let what is made within be trained over all devices, by `data` alone; yield how many these
    are.

    Raises MissingPart for another way.
    """
    if parallel != "data":
        raise MissingPart(
            f"training.parallel is {parallel}, which TensorFlow has no way to do: set "
            "KERAS_BACKEND=jax and install the extra `jax`, or set it to data"
        )
    strategy = over_hosts[-1] if over_hosts else tf.distribute.MirroredStrategy(_devices())
    with strategy.scope():
        yield strategy.num_replicas_in_sync


def _devices() -> list[str]:
    """Return the names of the GPUs that are seen, or else of the CPUs."""
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


def gradients(function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
    """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""
    with tf.GradientTape(persistent=True) as tape:
        parts = tf.unstack(function())
    found = [tape.gradient(part, variable.value) for part in parts]
    return np.stack([np.zeros(variable.shape) if g is None else g.numpy() for g in found])


def resident(matrix: Matrix) -> Any:
    """Return rows as they lie on the device, or all of them on each of several devices."""
    if tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
        # TensorFlow calls this in the scope of each device in turn.
        return strategy.experimental_distribute_values_from_function(lambda _: tf.constant(matrix))
    as_it_lies = (
        matrix.ctypes.data % ALIGNED == 0
        and matrix.flags.c_contiguous
        and matrix.flags.writeable
        and not tf.config.get_visible_devices("GPU")
    )
    if as_it_lies:
        tf.constant(0)  # TensorFlow has started: what comes next does not start it.
        return tf.experimental.dlpack.from_dlpack(matrix.__dlpack__())
    return tf.convert_to_tensor(matrix)


def stepping(trainee: Trainee, batch_size: int, inputs: int, parts: int = 1) -> Stepping:
    """Return what takes a Keras model's training steps through resident rows, of which so
    many columns are inputs, in the order of positions, as one compiled call. The gradients of a
    batch come from so many parts of it."""

    def step(rows: Any, chosen: Any) -> None:
        if parts == 1:
            trainee.train_step(_taken(rows, chosen, inputs))
        else:
            _accumulated(trainee, rows, chosen, inputs, part_size(chosen.shape[0], parts))

    return _measured(step, trainee, batch_size)


def _accumulated(trainee: Trainee, rows: Any, chosen: Any, inputs: int, size: int) -> None:
    """Take one step by the mean gradients of parts of a batch."""
    trained = trainee.trainable_weights
    begun = trainee.steps + 0

    def slopes(state: Any, part: Any) -> tuple[Any, list[Any]]:
        trainee.steps.assign(begun)  # Parts are one step.
        x, y, weight = _taken(rows, part, inputs)
        with tf.GradientTape() as tape:
            output = trainee(x, training=True)
            loss = trainee.compute_loss(x, y, output, weight, training=True)
            scaled = trainee.optimizer.scale_loss(loss)
        trainee.tell_loss(loss, part.shape[0])
        found = tape.gradient(scaled, trained, unconnected_gradients="zero")
        return state, [tf.convert_to_tensor(g) for g in found]

    start = [tf.zeros(v.shape, v.dtype) for v in trained]
    _, found = mean_gradients(slopes, (), chosen, size, start, tf.distribute.has_strategy())
    trainee.optimizer.apply_gradients(zip(found, trained, strict=True))


def testing(trainee: Trainee, batch_size: int, inputs: int) -> Stepping:
    """Return what returns the validation losses of resident rows, as one compiled call."""

    def step(rows: Any, chosen: Any) -> None:
        trainee.test_step(_taken(rows, chosen, inputs))

    return _measured(step, trainee, batch_size)


def _measured(step: Callable[[Any, Any], None], trainee: Trainee, batch_size: int) -> Stepping:
    """Return what compiles the steps of an order, and returns what the trainee measured."""
    if tf.distribute.has_strategy():
        return mirrored(step, trainee, batch_size)

    def run(rows: Any, order: Any) -> None:
        trainee.reset_metrics()
        _batches(lambda chosen: step(rows, chosen), order, batch_size)

    compiled = _compiled(run, trainee)

    def call(rows: Any, order: Order) -> Losses:
        compiled(rows, tf.convert_to_tensor(order))
        return trainee.measured()

    return call


def _batches(step: Callable[[Any], Any], order: Any, batch_size: int) -> None:
    """Take a step for each batch; the last one may be smaller."""
    whole = order.shape[0] // batch_size

    def body(batch: Any) -> Any:
        step(tf.slice(order, [batch * batch_size], [batch_size]))
        return (batch + 1,)

    if whole:
        tf.while_loop(lambda batch: batch < whole, body, (tf.constant(0),))
    if order.shape[0] % batch_size:
        step(order[whole * batch_size :])


def _taken(rows: Any, chosen: Any, inputs: int) -> Any:
    """Return inputs, targets and weights of chosen rows."""
    found = tf.gather(rows, chosen)
    return found[:, :inputs], found[:, inputs:-1], found[:, -1]


def _compiled(run: Callable[..., None], trainee: Trainee) -> Callable[..., None]:
    """Return a function that XLA compiles, or TensorFlow alone where XLA cannot."""
    compiled = _by_shape(tf.function(run, jit_compile=True))

    def call(*arguments: Any) -> None:
        nonlocal compiled
        try:
            compiled(*arguments)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as fault:
            # Nothing was computed: the fault comes of compiling.
            said, name = str(fault).strip().splitlines()[0], trainee.network.name
            log.warning("XLA cannot compile the network %s, trained without: %s", name, said)
            compiled = _by_shape(tf.function(run))
            compiled(*arguments)

    return call


def _by_shape(function: Any) -> Callable[..., None]:
    """Return what calls a function as it is traced for shapes of arguments, of which there are few.

    TensorFlow would warn of tracing where one process trains several networks.
    """
    traced: dict[Any, Any] = {}

    def call(*arguments: Any) -> None:
        shapes = tuple(tuple(argument.shape) for argument in arguments)
        if shapes not in traced:
            traced[shapes] = function.get_concrete_function(*arguments)
        traced[shapes](*arguments)

    return call


def forward(network: Any) -> Callable[[Any], NDArray[Any]]:
    """Return a compiled function of a Keras network's inputs to its output, for any number of
    rows."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(inputs: Any) -> Any:
        return network(inputs, training=False)

    def call(inputs: Any) -> NDArray[Any]:
        return np.asarray(run(keras.tree.map_structure(tf.convert_to_tensor, inputs)))

    return call
