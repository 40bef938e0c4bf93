"""Exported models: a bundle's whole answer as a `.keras` file, a SavedModel or an ONNX file.

In: a bundle. Out: a folder with the model and `inputs.json`. Raw values go in by column and each
target's mean comes out in its unit: encodings, networks, inverse transforms, limits and the mean
over members are all inside. Who loads it needs the format's own library and nothing of ours;
`runners/` has a script for each that shows how.
"""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from data_contracts.settings import FORMATS
from tasks.formats.carried import not_carried
from tasks.learning.bundle import Bundle, save_bundle
from tasks.learning.errors import MissingPart

NEEDED = {"onnx": ("onnx", "tf2onnx", "onnxruntime")}
"""What a format needs beside the project's own dependencies."""


def check_installed(format: str) -> None:
    """Raise MissingPart where a format's packages are not installed."""
    absent = [name for name in NEEDED.get(format, ()) if find_spec(name) is None]
    if absent:
        raise MissingPart(
            f"publishing.formats has {format}, which needs {', '.join(absent)}: "
            f"pip install 'polycast[{format}]', or remove {format}"
        )


def export(format: str, bundle: Bundle, folder: Path) -> None:
    """Write a bundle in a format (keras, saved_model or onnx) into `folder`, which is made.

    Raises ValueError for a bundle of which the format cannot carry a part, and MissingPart where
    the format's packages are not installed.
    """
    if format not in FORMATS:
        raise ValueError(f"format: expected {', '.join(FORMATS)}, came {format}")
    check_installed(format)
    if words := not_carried(bundle):
        raise ValueError(f"{format} cannot carry {words}")
    folder.mkdir(parents=True, exist_ok=True)
    import keras

    if keras.backend.backend() == "tensorflow":
        write(format, bundle, folder)
    else:
        _elsewhere(format, bundle, folder)


def write(format: str, bundle: Bundle, folder: Path) -> None:
    """Write what `export` writes; Keras is on TensorFlow."""
    from tasks.formats import writing
    from tasks.formats.inputs import interface
    from tasks.formats.model import whole_model

    face = interface(bundle)
    model = whole_model(bundle, face)
    match format:
        case "keras":
            model.save(folder / "model.keras")
        case "saved_model":
            writing.saved_model(model, face, folder / "1")
        case "onnx":
            writing.onnx(model, face, folder / "model.onnx")
    face.write(folder, text=format == "saved_model")


def _elsewhere(format: str, bundle: Bundle, folder: Path) -> None:
    """Write in a process whose Keras is on TensorFlow, which makes every format."""
    with tempfile.TemporaryDirectory() as place:
        save_bundle(bundle, Path(place) / "bundle")
        command = [sys.executable, "-m", "tasks.formats", format, f"{place}/bundle", str(folder)]
        found = subprocess.run(
            command,
            env=os.environ | {"KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
            check=False,
        )
    if found.returncode:
        raise RuntimeError(f"the export to {format} failed:\n{found.stderr[-2000:]}")
