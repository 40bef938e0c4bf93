"""The whole answer as one Keras model: raw inputs by name in, each target's mean in its unit out.

Encoding and what follows the network are float64, the network is float32, as in the bundle.
"""

from typing import Any

import keras
from keras import ops

from tasks.formats.decoding import in_units, within
from tasks.formats.encoding import Raw, encoded
from tasks.formats.inputs import DTYPES, Interface
from tasks.formats.network import plain_network
from tasks.learning.bundle import Bundle, Member


def whole_model(bundle: Bundle, face: Interface, joined: bool = False) -> keras.Model:
    """Return a model from a mapping of inputs (rows,) to a mapping of outputs (rows,).

    With `joined` the output is one, (rows, targets).
    """
    # What is computed has a model of its own: names of its steps are none of columns' then.
    inside = {
        (e.column, e.reading): (e, keras.Input((), dtype=DTYPES[e.reading])) for e in face.inputs
    }
    mean = _mean(bundle, inside)
    outs = mean if joined else [mean[:, i] for i in range(len(face.outputs))]
    steps = keras.Model([tensor for _, tensor in inside.values()], outs, name=_free(face))
    entries = {e.name: keras.Input((), name=e.name, dtype=DTYPES[e.reading]) for e in face.inputs}
    found = steps(list(entries.values()))
    if joined:
        return keras.Model(entries, found)
    named = zip(face.outputs, found, strict=True)
    return keras.Model(entries, {output.name: value for output, value in named})


def _mean(bundle: Bundle, raw: Raw) -> Any:
    """Return what the members say together, (rows, targets)."""
    limits = bundle.members[0].limits
    means = [_member_mean(m, raw, f"network_{i}") for i, m in enumerate(bundle.members)]
    if len(means) == 1:
        return means[0]
    return within(limits, ops.mean(ops.stack(means), axis=0))


def _member_mean(member: Member, raw: Raw, name: str) -> Any:
    inputs = encoded(member.preprocessing, raw)
    scaled = plain_network(member, name)(inputs)
    values = within(member.limits, in_units(member.preprocessing.scalers, scaled, raw))
    if len(values.shape) == 3:
        values = within(member.limits, ops.mean(values, axis=1))
    return values


def _free(face: Interface) -> str:
    """Return a name for the steps that no input has."""
    name = "answer"
    while name in {e.name for e in face.inputs}:
        name += "_"
    return name
