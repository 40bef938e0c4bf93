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
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.installed import check_installed

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle


def export(format: str, bundle: "Bundle", folder: Path) -> None:
    """Write a bundle in a format (keras, saved_model or onnx) into `folder`, which is made.

    Raises ValueError for a format that there is not and for a bundle of which no format can carry
    a part, and MissingPart where the format's packages are not installed.
    """
    from tasks.formats.carried import not_carried

    check_installed([format])
    if words := not_carried(bundle):
        raise ValueError(f"{format} cannot carry {words}")
    folder.mkdir(parents=True, exist_ok=True)
    import keras

    if keras.backend.backend() == "tensorflow":
        _write(format, bundle, folder)
    else:
        _elsewhere(format, bundle, folder)


def _write(format: str, bundle: "Bundle", folder: Path) -> None:
    from tasks.formats import writing
    from tasks.formats.inputs import interface
    from tasks.formats.model import whole_model

    face = interface(bundle)
    model = whole_model(bundle, face, joined=format == "onnx")
    match format:
        case "keras":
            model.save(folder / "model.keras")
        case "saved_model":
            writing.saved_model(model, face, folder / "1")
        case "onnx":
            writing.onnx(model, face, folder / "model.onnx")
        case _:
            raise ValueError(f"format: expected keras, saved_model or onnx, came {format}")
    face.write(folder, text=format == "saved_model")


def _elsewhere(format: str, bundle: "Bundle", folder: Path) -> None:
    """Write in a process whose Keras is on TensorFlow, which makes every format."""
    from tasks.learning.bundle import save_bundle

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
