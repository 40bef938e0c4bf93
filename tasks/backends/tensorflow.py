"""TensorFlow, the default backend."""

import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tasks.learning.accumulation import mean_gradients, part_size
from tasks.learning.epochs import Losses, Stepping
from tasks.learning.errors import MissingPart
from tasks.learning.feeding import Matrix, Order
from tasks.learning.shards import ALIGNED
from tasks.learning.trainee import Trainee

log = logging.getLogger("polycast")


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


def gradients(function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
    """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""
    with tf.GradientTape(persistent=True) as tape:
        parts = tf.unstack(function())
    found = [tape.gradient(part, variable.value) for part in parts]
    return np.stack([np.zeros(variable.shape) if g is None else g.numpy() for g in found])


def resident(matrix: Matrix) -> Any:
    """Return rows as they lie on the device."""
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

    def run(rows: Any, order: Any) -> None:
        def step(chosen: Any) -> None:
            if parts == 1:
                trainee.train_step(_taken(rows, chosen, inputs))
            else:
                _accumulated(trainee, rows, chosen, inputs, part_size(batch_size, parts))

        _batches(step, order, batch_size)

    return _measured(run, trainee)


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
    _, found = mean_gradients(slopes, (), chosen, size, start)
    trainee.optimizer.apply_gradients(zip(found, trained, strict=True))


def testing(trainee: Trainee, batch_size: int, inputs: int) -> Stepping:
    """Return what returns the validation losses of resident rows, as one compiled call."""

    def run(rows: Any, order: Any) -> None:
        _batches(lambda part: trainee.test_step(_taken(rows, part, inputs)), order, batch_size)

    return _measured(run, trainee)


def _measured(run: Callable[[Any, Any], None], trainee: Trainee) -> Stepping:
    """Return what compiles `run` of rows and order, and returns what the trainee measured."""
    compiled = _compiled(run, trainee)

    def call(rows: Any, order: Order) -> Losses:
        return trainee.measured(lambda: compiled(rows, tf.convert_to_tensor(order)))

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
