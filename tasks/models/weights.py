"""Two bundles held against one another, number by number.

In: two bundles of the same contract. Out: per member, whether all weights are the same bits.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle, Member


@dataclass(frozen=True)
class Sameness:
    """How the weights of one member of a bundle compare with those of another's."""

    member: int
    identical: bool
    """Whether weights are the same bits, and all that was fitted is the same."""
    weights: int
    """How many numbers were compared."""
    largest: float | None
    """The largest difference of two weights; None where they cannot be compared one by one."""
    fitted: bool
    """Whether scalers, vocabularies and limits are the same."""


def sameness(first: "Bundle", second: "Bundle") -> list[Sameness]:
    """Return how each member of a bundle compares with the same of another. Raises ValueError."""
    if len(first.members) != len(second.members):
        raise ValueError(f"expected {len(first.members)} members, came {len(second.members)}")
    pairs = zip(first.members, second.members, strict=True)
    return [_compared(i, one, other) for i, (one, other) in enumerate(pairs)]


def _compared(index: int, one: "Member", other: "Member") -> Sameness:
    own, others = one.network.get_weights(), other.network.get_weights()
    fitted = (
        one.preprocessing.to_json() == other.preprocessing.to_json()
        and one.limits.to_dict() == other.limits.to_dict()
    )
    count = sum(int(np.size(w)) for w in own)
    if [np.shape(w) for w in own] != [np.shape(w) for w in others]:
        return Sameness(index, False, count, None, fitted)
    pairs = list(zip(own, others, strict=True))
    bits = all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)
    gaps = [float(np.max(np.abs(a.astype(float) - b.astype(float)))) for a, b in pairs if a.size]
    return Sameness(index, bits and fitted, count, max(gaps, default=0.0), fitted)
