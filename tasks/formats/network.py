"""A member's network in layers that Keras brings itself, with what reads its output.

In: a member. Out: a Keras model from encoded inputs, float32 (rows, width), to scaled means
(rows, targets), or (rows, members, targets) where the network has members. Each of our own layers
becomes layers of Keras with the same weights, so that who loads the model needs none of our code.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tasks.learning.bundle import Member
from tasks.learning.networks.embeddings import (
    PERIODIC_WIDTH,
    PIECEWISE_WIDTH,
    Columns,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
)
from tasks.learning.networks.outputs import Bounded
from tasks.learning.networks.posterior import Posterior
from tasks.learning.networks.quantile import OrderedQuantiles
from tasks.learning.networks.spectral import BoundedDense, RandomFeatures
from tasks.learning.networks.stacked import EnsembleDense, StackedDense

IDLE = (layers.Dropout, layers.GaussianNoise)
"""Layers that do nothing but in training."""


def plain_network(member: Member, name: str) -> keras.Model:
    """Return the member's network with its mean as the only output."""
    same = keras.models.clone_model(
        member.network, clone_function=lambda layer: layer, call_function=_called
    )
    mean = _mean(member, same.output)
    return keras.Model(same.input, mean, name=name)


def _mean(member: Member, raw: Any) -> Any:
    """Return the scaled mean, float64, in what comes out of a plain network."""
    targets = int(member.settings["targets"])
    if member.architecture != "mixture":
        return ops.cast(raw[..., :targets], "float64")
    count = int(member.settings["components"])
    raw = ops.cast(raw, "float64")
    weight = ops.softmax(raw[:, :count], axis=-1)
    means = ops.reshape(raw[:, count : count + count * targets], (-1, count, targets))
    return ops.sum(ops.expand_dims(weight, -1) * means, axis=1)


def _called(layer: Any, *inputs: Any, **options: Any) -> Any:
    """Return what a layer, or an operation, makes of `inputs`, by layers of Keras alone."""
    if isinstance(layer, IDLE):
        return inputs[0]
    express = EXPRESSED.get(type(layer))
    if express is not None:
        return express(layer, inputs[0])
    if not isinstance(layer, keras.layers.Layer):
        return layer(*inputs, **options)
    copy = type(layer).from_config(layer.get_config())
    out = copy(*inputs)
    copy.set_weights(layer.get_weights())
    return out


def _with(layer: keras.layers.Layer, inputs: Any, *weights: Any) -> Any:
    """Return what a layer with these weights makes of inputs."""
    out = layer(inputs)
    layer.set_weights([np.asarray(w) for w in weights])
    return out


def _dense(inputs: Any, kernel: Any, bias: Any = None) -> Any:
    units, own = kernel.shape[-1], () if bias is None else (bias,)
    return _with(layers.Dense(units, use_bias=bias is not None), inputs, kernel, *own)


def _product(form: str, inputs: Any, kernel: Any, bias: Any = None) -> Any:
    """Return a product by an einsum's form; the bias has the axes of the output but the rows."""
    axes = form.partition("->")[2][1:]
    sizes = dict(zip(form.partition(",")[2].partition("->")[0], kernel.shape, strict=True))
    shape = tuple(sizes[a] for a in axes)
    own = () if bias is None else (bias,)
    layer = layers.EinsumDense(form, shape, bias_axes=axes if own else None)
    return _with(layer, inputs, kernel, *own)


def _columns(layer: Columns, inputs: Any) -> Any:
    return ops.take(inputs, np.array(layer.positions, np.int32), axis=-1)


def _periodic(layer: PeriodicEmbedding, inputs: Any) -> Any:
    frequency, phase = np.asarray(layer.frequency), np.asarray(layer.phase)
    angle = _product("rn,nf->rnf", inputs, frequency, phase) * (2 * np.pi)
    mixed = _product("rnf,nfw->rnw", ops.cos(angle), np.asarray(layer.mix))
    return _beside(inputs, mixed, PERIODIC_WIDTH)


def _piecewise(layer: PiecewiseLinearEmbedding, inputs: Any) -> Any:
    mix, edges = np.asarray(layer.mix), np.asarray(layer.edges)
    lower, width = edges[:, :-1], edges[:, 1:] - edges[:, :-1]
    exact, wide = ops.expand_dims(inputs, -1), width > 0
    inside = ops.clip((exact - lower) / np.where(wide, width, np.float32(1.0)), 0.0, 1.0)
    step = ops.cast(ops.greater_equal(exact, lower), "float32")
    mixed = _product("rnb,nbw->rnw", ops.where(wide, inside, step), mix)
    return _beside(inputs, mixed, PIECEWISE_WIDTH)


def _beside(inputs: Any, mixed: Any, width: int) -> Any:
    """Return each number with what it became beside it."""
    whole = ops.concatenate([ops.expand_dims(inputs, -1), mixed], axis=-1)
    return ops.reshape(whole, (-1, inputs.shape[-1] * (1 + width)))


def _stacked(layer: StackedDense, inputs: Any) -> Any:
    form = "ri,ciu->rcu" if len(inputs.shape) == 2 else "rci,ciu->rcu"
    return _product(form, inputs, np.asarray(layer.kernel), np.asarray(layer.bias))


def _ensemble(layer: EnsembleDense, inputs: Any) -> Any:
    form = "ri,mi->rmi" if len(inputs.shape) == 2 else "rmi,mi->rmi"
    own = _product(form, inputs, np.asarray(layer.entry_scale))
    out = _dense(own, np.asarray(layer.kernel))
    return _product("rmu,mu->rmu", out, np.asarray(layer.exit_scale), np.asarray(layer.bias))


def _bounded_dense(layer: BoundedDense, inputs: Any) -> Any:
    kernel, _ = layer.bounded()
    return _dense(inputs, np.asarray(kernel), np.asarray(layer.bias))


def _random_features(layer: RandomFeatures, inputs: Any) -> Any:
    near = inputs * np.exp(-np.asarray(layer.log_length))
    angle = _dense(near, np.asarray(layer.directions))
    waves = ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)
    waves = waves * math.sqrt(2.0 / layer.features)
    return ops.concatenate([waves, near, ops.ones_like(near[:, :1])], axis=-1)


def _posterior(layer: Posterior, inputs: Any) -> Any:
    return _dense(inputs, np.asarray(layer.kernel))


def _median(layer: OrderedQuantiles, inputs: Any) -> Any:
    return inputs[:, layer.median :: len(layer.levels)]


def _bounded(layer: Bounded, raw: Any) -> Any:
    # The layer's own arithmetic is that of Keras, and it has no weights.
    return layer.call(raw)


EXPRESSED: dict[type[Any], Callable[[Any, Any], Any]] = {
    Columns: _columns,
    PeriodicEmbedding: _periodic,
    PiecewiseLinearEmbedding: _piecewise,
    StackedDense: _stacked,
    EnsembleDense: _ensemble,
    BoundedDense: _bounded_dense,
    RandomFeatures: _random_features,
    Posterior: _posterior,
    OrderedQuantiles: _median,
    Bounded: _bounded,
}
"""Per layer of our own, what says the same by layers of Keras."""
