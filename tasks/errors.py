"""Faults that a user can mend, by the exit code that they end with."""


class DataError(Exception):
    """Data that is missing, unreadable or in breach of the contract (exit code 4)."""


class SourceAway(DataError, ConnectionError):
    """A source that does not answer now and may do so later: a stage tries again."""


class Breach(DataError):
    """Data that was read and breaks the contract.

    `broken` lists the broken expectations; `docs` is where the data docs lie.
    """

    def __init__(self, broken: tuple[str, ...], docs: str) -> None:
        self.broken = broken
        self.docs = docs
        count = "an expectation" if len(broken) == 1 else f"{len(broken)} expectations"
        lines = "\n".join(f"  - {b}" for b in broken)
        super().__init__(f"the data breaks {count}:\n{lines}\n  data docs: {docs}")

    def __reduce__(self) -> tuple[type["Breach"], tuple[tuple[str, ...], str]]:
        return (Breach, (self.broken, self.docs))


class WrongRequest(Exception):
    """Something that cannot be done as it was asked for (exit code 2)."""
