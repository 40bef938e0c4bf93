"""What a run ran on: Python, platform and the version of everything installed."""

import platform
from importlib.metadata import distributions
from typing import Any


def environment() -> dict[str, Any]:
    """Return Python, platform and every installed distribution's version."""
    # Each look at `metadata` reads and parses a file.
    described = [found.metadata for found in distributions()]
    packages = {m["Name"]: m["Version"] for m in described if m["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items(), key=lambda p: p[0].lower())),
    }
