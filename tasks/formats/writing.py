"""The model as TensorFlow's SavedModel and as ONNX."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tasks.formats.inputs import DTYPES, LABEL, Interface, RawInput

OPSET = 18
"""The version of ONNX' operators: one that onnxruntime reads since 2023."""


def saved_model(model: keras.Model, face: Interface, folder: Path) -> None:
    """Write a SavedModel whose signature `serving_default` takes raw values, labels as text.

    The folder's name is the model's version, for TensorFlow Serving. It is made.
    """
    module = tf.Module()
    # The variables and the tables, and no Keras object: loading needs TensorFlow alone.
    module.weights = [weight.value for weight in model.weights]
    module.tables = {e.name: _table(e) for e in face.inputs if e.reading == LABEL}

    def serve(**raw: Any) -> dict[str, Any]:
        coded = {n: module.tables[n].lookup(v) if n in module.tables else v for n, v in raw.items()}
        return dict(model(coded, training=False))

    specs = {e.name: _spec(e, text=True) for e in face.inputs}
    module.serve = tf.function(serve, autograph=False)
    signature = module.serve.get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), signatures=signature)


def onnx(model: keras.Model, face: Interface, file: Path) -> None:
    """Write an ONNX file that takes raw values, labels as codes.

    `model` answers with all targets joined: conversion takes long where there are many outputs.
    """
    import onnx as library
    import tf2onnx

    def answer(*raw: Any) -> Any:
        names = [e.name for e in face.inputs]
        return model(dict(zip(names, raw, strict=True)), training=False)

    specs = [_spec(e, text=False) for e in face.inputs]
    with _quiet("tensorflow", "tf2onnx"):
        made, _ = tf2onnx.convert.from_function(
            tf.function(answer, autograph=False),
            input_signature=specs,
            opset=OPSET,
            custom_op_handlers=EXACT,
        )
    _divide(made.graph, face)
    library.checker.check_model(made)
    library.save(made, str(file))


def _divide(graph: Any, face: Interface) -> None:
    """Make of the output (rows, targets) of an ONNX graph an output (rows,) for each target."""
    from onnx import TensorProto, helper

    whole = graph.output[0].name
    del graph.output[:]
    for i, output in enumerate(face.outputs):
        place = f"{whole}/{i}"
        graph.initializer.append(helper.make_tensor(place, TensorProto.INT64, (), [i]))
        graph.node.append(helper.make_node("Gather", [whole, place], [output.name], axis=1))
        rows = helper.make_tensor_value_info(output.name, TensorProto.DOUBLE, ["rows"])
        graph.output.append(rows)


def _log(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Leave a logarithm as it is; tf2onnx would take it of float32."""


def _where(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Choose by ONNX' own operator; tf2onnx would add products with 0, and NaN has none."""
    node.type = "Where"


EXACT: dict[str, tuple[Any, list[Any]]] = {"Log": (_log, []), "SelectV2": (_where, [])}
"""By TensorFlow's name: operators whose conversion would not be exact, and what is done."""


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Let loggers tell of errors alone: converting warns of what harms nobody."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _spec(entry: RawInput, text: bool) -> tf.TensorSpec:
    dtype = "string" if text and entry.reading == LABEL else DTYPES[entry.reading]
    return tf.TensorSpec((None,), dtype, name=entry.name)


def _table(entry: RawInput) -> tf.lookup.StaticHashTable:
    """Return the codes of labels, as constants of the graph."""
    # An empty table cannot be made; the text for missing is no label, and has its code anyhow.
    keys = [*entry.labels, entry.missing]
    codes = tf.range(len(keys), dtype=DTYPES[LABEL])
    initial = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), codes)
    return tf.lookup.StaticHashTable(initial, len(entry.labels))
