"""JAX."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from tasks.backends.jax_many import epoch_of_many as epoch_of_many
from tasks.learning.accumulation import mean_gradients, part_size
from tasks.learning.epochs import Losses, Stepping
from tasks.learning.errors import MissingPart
from tasks.learning.feeding import Matrix, Order
from tasks.learning.trainee import Trainee


def use_device(device: str) -> str:
    """Let JAX compute on `auto`, `cpu` or `gpu` alone; return the device's name.

    Raises MissingPart where a GPU is asked for and none is seen.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    found = jax.local_devices()[0]
    if device == "gpu" and found.platform != "gpu":
        raise MissingPart(
            "training.device is gpu, but JAX sees none here: set it to auto or cpu, or install "
            "jax[cuda12] on a machine with a GPU"
        )
    return "cpu" if found.platform == "cpu" else str(found.device_kind)


@contextmanager
def spread(parallel: str) -> Iterator[int]:
    """Let what is made within be trained over all devices, by `data` or `model`; yield how many
    these are."""
    devices = keras.distribution.list_devices()
    kinds = {"data": keras.distribution.DataParallel, "model": _by_width}
    with kinds[parallel](devices=devices).scope():
        yield len(devices)


def _by_width(devices: list[str]) -> keras.distribution.ModelParallel:
    """Return a distribution of wide layers over devices."""
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ("batch", "model"), devices)
    return ByWidth(layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name="batch")


class ByWidth(keras.distribution.ModelParallel):  # type: ignore[misc]
    """Each device has an even part of the last axis of every weight that can be divided so."""

    def get_variable_layout(self, variable: Any) -> Any:
        """Return where a variable lies; an optimizer's lies as the weight that it is of."""
        found = super().get_variable_layout(variable)
        shape, parts = variable.shape, self.device_mesh.shape[1]
        divided = variable.trainable and shape and shape[-1] % parts == 0
        if not divided or any(found.axes):
            return found
        axes = [*[None] * (len(shape) - 1), "model"]
        return keras.distribution.TensorLayout(axes, self.device_mesh)


def gradients(function: Callable[[], Any], variable: Any) -> NDArray[np.float64]:
    """Return the gradients (parts, *shape) of `function()`, (parts,), on a Keras variable."""

    def stateless(value: Any) -> Any:
        with keras.StatelessScope(state_mapping=[(variable, value)]):
            return function()

    return np.asarray(jax.jacrev(stateless)(variable.value), np.float64)


def resident(matrix: Matrix) -> Any:
    """Return rows as they lie on the device, or all of them on each of several devices."""
    layout = _layout()
    if layout is None or layout.is_fully_addressable:
        return jax.device_put(matrix, layout)
    # Each host has all rows: to put them there would compare them over the network.
    return jax.make_array_from_callback(matrix.shape, layout, lambda index: matrix[index])


def _layout(*axes: str) -> Any:
    """Return where an array lies whose axes are spread so over the devices; None on one device."""
    spread_over = keras.distribution.distribution()
    if spread_over is None:
        return None
    mesh = spread_over.device_mesh.backend_mesh
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


def stepping(trainee: Trainee, batch_size: int, inputs: int, parts: int = 1) -> Stepping:
    """Return what takes a Keras model's training steps through resident rows, of which so
    many columns are inputs, in the order of positions, as one compiled call. The gradients of a
    batch come from so many parts of it."""

    @jax.jit  # type: ignore[untyped-decorator]
    def run(state: Any, rows: Any, order: Any) -> Any:
        def step(state: Any, chosen: Any) -> Any:
            if parts > 1:
                size = part_size(batch_size, parts)
                return _accumulated(trainee, state, rows, chosen, inputs, size), None
            return trainee.train_step(state, _taken(rows, chosen, inputs))[1], None

        return _batches(step, state, order, batch_size)

    def call(rows: Any, order: Order) -> Losses:
        groups = (
            trainee.trainable_variables,
            trainee.non_trainable_variables,
            trainee.optimizer.variables,
            trainee.metrics_variables,
        )
        trainee.reset_metrics()
        _assign(groups, run(_values(groups), rows, order))
        return trainee.measured()

    return call


def _accumulated(
    trainee: Trainee, state: Any, rows: Any, chosen: Any, inputs: int, size: int
) -> Any:
    """Return the state after one step by the mean gradients of parts of a batch."""
    trained, others, slots, metrics = state
    own = next(i for i, v in enumerate(trainee.non_trainable_variables) if v is trainee.steps)
    losses = jax.value_and_grad(trainee.compute_loss_and_updates, has_aux=True)
    begun = others[own]

    def slopes(state: Any, part: Any) -> tuple[Any, list[Any]]:
        others, metrics = list(state[0]), state[1]
        others[own] = begun  # Parts are one step.
        x, y, weight = _taken(rows, part, inputs)
        (_, (loss, _, others, metrics)), found = losses(
            trained, others, metrics, x, y, weight, training=True, optimizer_variables=slots
        )
        mapping = list(zip(trainee.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            trainee.tell_loss(loss, len(part))
        metrics = [scope.get_current_value(v) for v in trainee.metrics_variables]
        return (list(others), metrics), found

    start = [jax.numpy.zeros_like(v) for v in trained]
    (others, metrics), found = mean_gradients(slopes, (others, metrics), chosen, size, start)
    trained, slots = trainee.optimizer.stateless_apply(slots, found, trained)
    return trained, others, slots, metrics


def testing(trainee: Trainee, batch_size: int, inputs: int) -> Stepping:
    """Return what returns the validation losses of resident rows, as one compiled call."""

    @jax.jit  # type: ignore[untyped-decorator]
    def run(state: Any, rows: Any, order: Any) -> Any:
        def step(state: Any, chosen: Any) -> Any:
            return trainee.test_step(state, _taken(rows, chosen, inputs))[1], None

        return _batches(step, state, order, batch_size)

    def call(rows: Any, order: Order) -> Losses:
        groups = (
            trainee.trainable_variables,
            trainee.non_trainable_variables,
            trainee.metrics_variables,
        )
        trainee.reset_metrics()
        _assign(groups, run(_values(groups), rows, order))
        return trainee.measured()

    return call


def _batches(step: Any, state: Any, order: Any, batch_size: int) -> Any:
    """Return the state after a step for each batch; the last one may be smaller."""
    whole = len(order) // batch_size
    if whole:
        many = order[: whole * batch_size].reshape(whole, batch_size)
        state, _ = jax.lax.scan(step, state, many)
    if len(order) % batch_size:
        state, _ = step(state, order[whole * batch_size :])
    return state


def _taken(rows: Any, chosen: Any, inputs: int) -> Any:
    """Return inputs, targets and weights of chosen rows, a part of them on each device."""
    layout = _layout("batch")
    if layout is not None and len(chosen) % layout.mesh.shape["batch"] == 0:
        chosen = jax.lax.with_sharding_constraint(chosen, layout)
    found = rows.at[chosen].get(mode="promise_in_bounds")
    return found[:, :inputs], found[:, inputs:-1], found[:, -1]


def _values(groups: Any) -> Any:
    return tuple([v.value for v in group] for group in groups)


def _assign(groups: Any, values: Any) -> None:
    for variables, found in zip(groups, values, strict=True):
        for variable, value in zip(variables, found, strict=True):
            variable.assign(value)


def forward(network: Any) -> Callable[[Any], NDArray[Any]]:
    """Return a compiled function of a Keras network's inputs to its output, for any number of
    rows.

    They are filled up to the next power of two, since each number of rows is compiled anew.
    """

    @jax.jit  # type: ignore[untyped-decorator]
    def run(trained: Any, others: Any, inputs: Any) -> Any:
        return network.stateless_call(trained, others, inputs, training=False)[0]

    def call(inputs: Any) -> NDArray[Any]:
        count = len(keras.tree.flatten(inputs)[0])
        more = (1 << max(count - 1, 0).bit_length()) - count
        filled = keras.tree.map_structure(lambda a: _filled(a, more), inputs)
        trained = [v.value for v in network.trainable_variables]
        others = [v.value for v in network.non_trainable_variables]
        return np.asarray(run(trained, others, filled))[:count]

    return call


def _filled(array: NDArray[Any], more: int) -> NDArray[Any]:
    return np.pad(array, [(0, more), *[(0, 0)] * (array.ndim - 1)]) if more else array
