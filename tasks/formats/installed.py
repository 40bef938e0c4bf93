"""Whether this machine has what formats need beside the project's own dependencies."""

from collections.abc import Iterable
from importlib.util import find_spec

from tasks.learning.errors import MissingPart

NEEDED = {"onnx": ("onnx", "tf2onnx", "onnxruntime")}
"""A format's own packages; the extra of its name installs them."""


def check_installed(formats: Iterable[str]) -> None:
    """Raise MissingPart for a format whose packages are not installed."""
    for name in formats:
        absent = [package for package in NEEDED.get(name, ()) if find_spec(package) is None]
        if absent:
            raise MissingPart(
                f"publishing.formats has {name}, which needs {', '.join(absent)}: "
                f"pip install 'polycast[{name}]', or remove {name} from the contract"
            )
