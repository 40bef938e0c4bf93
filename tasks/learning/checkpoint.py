"""A checkpoint: all that a run of training needs to go on from where it was, as one file's bytes.

In: the trainee and its callbacks. Out: a tree of plain values and arrays, and bytes that check
themselves and hold no pickle. What is taken: every variable (weights, slots of the optimizer, its
step and learning rate, the state of random generators, counters), what Python and NumPy draw from,
and of each callback the attributes that are plain values, lists or arrays.
"""

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tasks.learning.trainee import Trainee

Tree = Any
"""None, bool, int, float, str, array, or a list, tuple or dict (by text) of such."""

MAGIC = b"polycast checkpoint 1\n"
_KEPT_OUT = {"_model", "model", "params"}
"""Attributes of a callback that are the run's, not its own."""


class Unusable(ValueError):
    """A checkpoint that cannot be used. The message says why."""


class _NotPlain(TypeError):
    """A value that no checkpoint holds."""


def taken(trainee: Trainee, callbacks: Sequence[keras.callbacks.Callback]) -> Tree:
    """Return a copy of the state of training."""
    return {
        "variables": [_copy(v) for v in _variables(trainee)],
        "stopping": bool(trainee.stop_training),
        "callbacks": [_attributes(c) for c in callbacks],
        "python": random.getstate(),
        "numpy": np.random.get_state(),
    }


def put_back(trainee: Trainee, callbacks: Sequence[keras.callbacks.Callback], state: Tree) -> None:
    """Make the state of training what it was. Raises Unusable where shapes or counts differ."""
    variables, values = _variables(trainee), state["variables"]
    kinds = [type(c).__name__ for c in callbacks]
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        raise Unusable("its variables are not those of this network and optimizer")
    if [c["kind"] for c in state["callbacks"]] != kinds:
        raise Unusable(f"its callbacks are not {', '.join(kinds)}")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for callback, found in zip(callbacks, state["callbacks"], strict=True):
        for name, value in _fresh(found["values"]).items():
            setattr(callback, name, value)
    trainee.stop_training = state["stopping"]
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])


def _variables(trainee: Trainee) -> list[Any]:
    """Return all variables that training changes, each once, in an order that is always the same.

    Layers that draw have a generator of their own, whose state is a variable.
    """
    own = [*trainee.variables, *trainee.optimizer.variables, *trainee.metrics_variables]
    return list({id(v): v for v in own}.values())


def _copy(variable: Any) -> Any:
    return np.array(variable.numpy())


def _attributes(callback: keras.callbacks.Callback) -> Tree:
    """Return a callback's plain attributes; one that is anything else is left out."""
    found = {}
    for name, value in vars(callback).items():
        if name not in _KEPT_OUT:
            try:
                found[name] = _fresh(value)
            except _NotPlain:
                continue
    return {"kind": type(callback).__name__, "values": found}


def _fresh(value: Any) -> Tree:
    """Return a copy of a plain value, all of it. Raises _NotPlain for any other."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return value.copy()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: _fresh(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_fresh(v) for v in value)
    raise _NotPlain(type(value).__name__)


def to_bytes(tree: Tree) -> bytes:
    """Return a tree as bytes whose first lines are their checksum."""
    arrays: dict[str, Any] = {}
    text = json.dumps(_encoded(tree, arrays))
    room = io.BytesIO()
    np.savez(room, tree=np.frombuffer(text.encode(), np.uint8), **arrays)
    content = room.getvalue()
    return MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def from_bytes(content: bytes) -> Tree:
    """Return the tree that bytes hold. Raises Unusable where they are not as they were written."""
    start = len(MAGIC) + 65
    head, rest = content[:start], content[start:]
    if not head.startswith(MAGIC):
        raise Unusable("it does not begin as a checkpoint does")
    if head[len(MAGIC) : -1] != hashlib.sha256(rest).hexdigest().encode():
        raise Unusable("its SHA-256 is not the one that it was written with")
    try:
        with np.load(io.BytesIO(rest), allow_pickle=False) as arrays:
            return _decoded(json.loads(arrays["tree"].tobytes()), arrays)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise Unusable(f"it cannot be read: {error}") from None


def _encoded(value: Tree, arrays: dict[str, Any]) -> Any:
    """Return JSON of a tree; what is not JSON is a list of one name and its content."""
    if isinstance(value, np.ndarray | np.generic):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array" if isinstance(value, np.ndarray) else "number": name}
    if isinstance(value, dict):
        return {"dict": {k: _encoded(v, arrays) for k, v in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(v, arrays) for v in value]}
    return [_encoded(v, arrays) for v in value] if isinstance(value, list) else value


def _decoded(value: Any, arrays: Any) -> Tree:
    if isinstance(value, list):
        return [_decoded(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {k: _decoded(v, arrays) for k, v in content.items()}
    if kind == "tuple":
        return tuple(_decoded(v, arrays) for v in content)
    return arrays[content] if kind == "array" else arrays[content][()]
