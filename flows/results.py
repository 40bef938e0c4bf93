"""What came of each of many datasets. Imports nothing dear."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.names import BLOCKED, HELD, REJECTED, SUSPENDED, WAITING

if TYPE_CHECKING:
    from tasks.records import Run

UP_TO_DATE = "Up to date"
CONTRACT = "Contract"
BLOCKED_CODE = 3
WAITING_CODE = 5
"""The exit codes of a candidate that a rule, a person or its proof blocks, and of one that waits
for a person; flows/explain.py has those of errors."""
_CODES = {
    BLOCKED: BLOCKED_CODE,
    REJECTED: BLOCKED_CODE,
    HELD: BLOCKED_CODE,
    WAITING: WAITING_CODE,
    SUSPENDED: WAITING_CODE,
}
_GRAVITY = (0, WAITING_CODE, BLOCKED_CODE, 4, 2, 1)
"""Exit codes, the least grave first."""


def code(ending: str) -> int:
    """Return the exit code for the name of the state that a good run ended in, or waits in."""
    return _CODES.get(ending, 0)


def code_of(run: "Run") -> int:
    """Return the exit code for what became of a run's candidate."""
    return {"published": 0, "waiting": WAITING_CODE}.get(run.outcome, BLOCKED_CODE)


@dataclass(frozen=True)
class Result:
    """What came of one dataset."""

    dataset: str
    outcome: str
    """The name of the run's final state, or that nothing had to be done."""
    said: str = ""
    """The run's first line: what was published, or what broke."""
    seconds: float = 0.0
    code: int = 0
    """The exit code that the dataset's own retrain would have."""


def outcomes(results: Sequence[Result]) -> dict[str, int]:
    """Return how many datasets came to each outcome, the most frequent first."""
    return dict(Counter(r.outcome for r in results).most_common())


def gravest(results: Sequence[Result]) -> int:
    """Return the exit code of a fleet: the gravest of its datasets'.

    From the least grave: 0 published or up to date, 5 waits for approval, 3 blocked, 4 data,
    2 contract, 1 a fault.
    """
    return max((r.code for r in results), key=_GRAVITY.index, default=0)
