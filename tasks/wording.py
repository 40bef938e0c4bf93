"""How counts and shares are said."""


def rows_of(count: int) -> str:
    """Return "1 row" or "2,300 rows"."""
    return "1 row" if count == 1 else f"{count:,} rows"


def part_shares(shares: dict[str, float]) -> dict[str, str]:
    """Return the share of an answer that each part of a blend has, both in words."""
    return {name.replace("_", " "): f"{share:.0%}" for name, share in shares.items()}
