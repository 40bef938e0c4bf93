"""The key: the columns that name a row, given or guessed, and what makes them do so.

In: a connection with the view `source`, Facts, and what the user named. Out: a Key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tasks.database import columns, quoted
from tasks.draft.facts import Fact, one
from tasks.draft.meanings import words_of

if TYPE_CHECKING:
    import duckdb

MOST_PAIRS = 12
"""How many keys of several columns are tried."""
FEW_REPEATED = 0.01
"""The share of rows that may repeat the key of others which is meant all the same."""


@dataclass(frozen=True)
class Key:
    """The columns that name a row."""

    columns: tuple[str, ...]
    note: str
    number: str = ""
    """SQL of the last column, a number that the query adds since no column tells rows apart."""
    repeated: int = 0
    """Rows that share the given columns with another one."""


def key(
    database: "duckdb.DuckDBPyConnection",
    facts: dict[str, Fact],
    given: Sequence[str],
    time: str | None,
    group: str | None,
    targets: Sequence[str],
) -> Key:
    """Return the given key, or the best guess; with a row number where none is unique.

    A guess that few rows break is the key, and those rows are repeated: copies, as a rule.
    """
    if given:
        return _given(database, facts, given)
    found = dict.fromkeys(_guesses(facts, time, group, targets))
    counts = _counts(database, [g for g in found if not _is_unique(facts, g)])
    rows = next(iter(facts.values())).rows
    for guess in found:
        if _is_unique(facts, guess) or counts.get(guess) == rows:
            return Key(guess, "a guess: no two rows share it")
    nearest = max(counts, key=counts.__getitem__, default=())
    if nearest and rows - counts[nearest] <= FEW_REPEATED * rows:
        return _given(database, facts, nearest)
    number = _free("row_number", facts)
    note = "no columns were found that tell rows apart: the query numbers them"
    return Key((number,), note, "row_number() OVER ()")


def _given(
    database: "duckdb.DuckDBPyConnection", facts: dict[str, Fact], given: Sequence[str]
) -> Key:
    own = tuple(dict.fromkeys(given))
    repeated = 0
    if not _is_unique(facts, own):
        with_one = "SELECT count(*) AS times FROM source GROUP BY " + columns(own)
        query = f"SELECT coalesce(sum(times), 0) FROM ({with_one}) WHERE times > 1"
        repeated = int(one(database, query)[0])
    if not repeated:
        return Key(own, "")
    number = _free("copy", facts)
    note = f"{repeated:,} rows share the other columns: the query numbers them"
    return Key((*own, number), note, f"row_number() OVER (PARTITION BY {columns(own)})", repeated)


def _guesses(
    facts: dict[str, Fact], time: str | None, group: str | None, targets: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Yield keys from the likeliest on: group and time, time, an id, a label and time, others."""
    if time and group:
        yield (group, time)
    if time:
        yield (time,)
    names = [
        f for f in facts.values() if f.name not in targets and f.kind in ("text", "number", "time")
    ]
    names = [f for f in names if f.kind != "number" or f.integer]
    named = [f.name for f in names if f.unique]
    ids = [n for n in named if "id" in words_of(n) or n == time]
    yield from ((n,) for n in ids)
    labels = [f for f in names if f.known == f.rows and f.name != time and not f.unique]
    labels = [f for f in labels if f.kind == "text" or f.integer]
    first = time or group
    if first:
        near = sorted(labels, key=lambda f: f.kind != "text")[:MOST_PAIRS]
        yield from ((f.name, first) for f in near if f.name != first)
        yield from (
            (a.name, b.name, first) for a, b in pairwise(near)
            if first not in (a.name, b.name)
        )  # fmt: skip
    yield from ((n,) for n in named if n not in ids)


def _is_unique(facts: dict[str, Fact], names: tuple[str, ...]) -> bool:
    return any(facts[n].unique for n in names)


def _counts(
    database: "duckdb.DuckDBPyConnection", guesses: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], int]:
    """Return how many different values each guess has."""
    if not guesses:
        return {}
    packed = (f"struct_pack({_fields(names)})" for names in guesses)
    query = ", ".join(f"count(DISTINCT {one})" for one in packed)
    return dict(zip(guesses, one(database, f"SELECT {query} FROM source"), strict=True))


def _fields(names: Sequence[str]) -> str:
    return ", ".join(f"f{i} := {quoted(n)}" for i, n in enumerate(names))


def _free(wanted: str, facts: dict[str, Fact]) -> str:
    taken = {n.lower() for n in facts}
    while wanted in taken:
        wanted += "_"
    return wanted
