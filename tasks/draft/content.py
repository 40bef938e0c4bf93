"""A wish for a draft, and what the draft will say, before it is text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.draft.facts import Fact
from tasks.draft.keys import Key
from tasks.draft.meanings import Meaning


@dataclass(frozen=True)
class Wish:
    """What the user said. `out` is the contract's file, `dataset` its name."""

    data: str
    dataset: str
    out: Path
    targets: tuple[str, ...]
    time: str | None = None
    group: str | None = None
    key: tuple[str, ...] = ()
    force: bool = False

    @property
    def named(self) -> str:
        """What commands know the contract by: its name in ./data_contracts, or else its path."""
        return self.dataset if self.out.parent == Path("data_contracts") else str(self.out)


@dataclass
class Plan:
    """A contract's content before it is text."""

    wish: Wish
    kind: str
    path: str
    rows: int = 0
    time: str | None = None
    key: Key = field(default_factory=lambda: Key((), ""))
    query: str = ""
    query_notes: list[str] = field(default_factory=list)
    features: list[Meaning] = field(default_factory=list)
    targets: dict[str, Fact] = field(default_factory=dict)
    presents: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    split_note: str = ""
    ahead: float = 0.0
    """How many seconds after their rows' time the targets lie, as far as was found."""
    warnings: list[str] = field(default_factory=list)
