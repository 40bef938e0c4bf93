"""How a count is said."""


def rows_of(count: int) -> str:
    """Return "1 row" or "2,300 rows"."""
    return "1 row" if count == 1 else f"{count:,} rows"
