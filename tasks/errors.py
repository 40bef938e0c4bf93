"""Faults that a user can mend, by the exit code that they end with."""


class DataError(Exception):
    """Data that is missing, unreadable or in breach of the contract (exit code 4)."""


class Breach(DataError):
    """Data that was read and breaks the contract. `broken` lists the broken expectations."""

    def __init__(self, broken: tuple[str, ...]) -> None:
        self.broken = broken
        lines = "\n".join(f"  - {b}" for b in broken)
        super().__init__(f"the data breaks {len(broken)} expectation(s):\n{lines}")

    def __reduce__(self) -> tuple[type["Breach"], tuple[tuple[str, ...]]]:
        return (Breach, (self.broken,))
