"""Some of many values, for a sentence."""

from collections.abc import Iterable, Sequence

SHOWN = 10
"""How many are named."""


def some(values: Sequence[object]) -> str:
    """Return the first values, and how many more there are: `a, b, c` or `a, …, j and 3 more`."""
    more = len(values) - SHOWN
    named: Iterable[str] = map(str, values[:SHOWN])
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
