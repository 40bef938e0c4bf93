"""What a run ran on: Python, platform and the version of everything installed."""

import platform
from importlib.metadata import distributions
from typing import Any


def environment() -> dict[str, Any]:
    """Return Python, platform and every installed distribution's version."""
    packages = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items(), key=lambda p: p[0].lower())),
    }
