"""Stretches of time, as a contract says them: `30h`."""

import re
from typing import Annotated

from data_contracts.annotations import Matching

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = r"([0-9]{1,9})(s|min|h|d)"
_DURATION_WORDS = "a whole number and s, min, h or d, such as 30h"
Duration = Annotated[str, Matching(_DURATION, _DURATION_WORDS)]


def seconds(duration: str) -> int:
    """Return a duration such as `30h` in seconds. Raises ValueError on another form."""
    match = re.fullmatch(_DURATION, duration)
    if match is None:
        raise ValueError(f"expected {_DURATION_WORDS}, got {duration!r}")
    return int(match[1]) * _UNITS[match[2]]


def written(count: int) -> str:
    """Return seconds as a duration in the largest unit that they are whole in, such as `30h`."""
    unit = max((u for u, size in _UNITS.items() if count % size == 0), key=_UNITS.__getitem__)
    return f"{count // _UNITS[unit]}{unit}"
