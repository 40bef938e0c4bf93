"""What a column may mean as a feature, guessed from its name, type and values.

In: a Fact. Out: its entry in the contract with a comment, or why it is left out.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from tasks.draft.facts import FEW, Fact

MOST_LABELS = 1000
"""More labels than this are a text, or a name of the row."""
MOST_CODES = 10
"""Whole numbers of so few values may be codes."""
WIDER = 0.5
"""How far bounds lie beyond what was seen, in shares of its range."""
A_YEAR = 300 * 86_400.0
INDEX = re.compile(r"__index_level_[0-9]+__")
PLACEHOLDER = "?"
"""Stands for a unit that a person has to write."""

_CYCLES: tuple[tuple[frozenset[str], float, float, float], ...] = (
    (frozenset({"hour", "hours", "hr", "hod"}), 0, 24, 24),
    (frozenset({"month", "months", "mon", "mnth", "moy"}), 0, 12, 12),
    (frozenset({"weekday", "dow", "wday", "dayofweek"}), 0, 7, 7),
    (frozenset({"doy", "yday", "dayofyear"}), 0, 366, 365.25),
    (frozenset({"minute", "minutes"}), 0, 60, 60),
    (
        frozenset({"dir", "direction", "bearing", "heading", "azimuth", "angle", "deg", "degrees",
                   "wd", "longitude", "lon"}),
        -180, 360, 360,
    ),
)  # fmt: skip
"""Words in a name, the least and the greatest value that fit, and the period."""
_PHRASES = {"day_of_week": "dow", "day_of_year": "doy", "hour_of_day": "hod"}


@dataclass(frozen=True)
class Meaning:
    """A line of the draft. Where `left` says why, it is a comment."""

    name: str
    entry: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    left: str = ""


def meaning(fact: Fact) -> Meaning:
    """Return what a column may mean as a feature."""
    if why := _left(fact):
        return Meaning(fact.name, _plain(fact), left=why)
    note = [seen(fact), missing(fact)]
    if fact.kind == "time":
        return Meaning(fact.name, _moment(fact), _joined(note))
    if fact.kind in ("flag", "text"):
        entry: dict[str, Any] = {"kind": "categorical"}
        if fact.distinct > FEW:
            entry["rare"] = 5
        return Meaning(fact.name, entry, _joined(note))
    if period := cycle(fact):
        entry = {"kind": "cyclic", "period": period, "unit": PLACEHOLDER}
        return Meaning(fact.name, entry, _joined(["a cycle, by its name", *note]))
    if fact.integer and 2 < len(fact.labels) <= MOST_CODES:
        told = f"{len(fact.labels)} whole numbers, taken for codes; a number where order counts"
        return Meaning(fact.name, {"kind": "categorical"}, _joined([told, *note]))
    return Meaning(fact.name, measured(fact), _joined(note))


def measured(fact: Fact) -> dict[str, Any]:
    """Return the entry of a number: a unit to fill in, and bounds wider than what was seen."""
    limits = bounds(fact)
    return {"unit": PLACEHOLDER} | ({"bounds": limits} if limits else {})


def bounds(fact: Fact) -> list[float] | None:
    """Return round limits around what was seen; what is 0 or more, or 0 or less, stays so."""
    if fact.least is None or fact.most is None:
        return None
    least, most = fact.least, fact.most
    reach = WIDER * ((most - least) or abs(most) or 1.0)
    if not 1e-300 < reach < 1e300:
        return None
    step = 10.0 ** math.floor(math.log10(reach))
    low, high = math.floor((least - reach) / step) * step, math.ceil((most + reach) / step) * step
    low = max(0.0, low) if least >= 0 else low
    high = min(0.0, high) if most <= 0 and least < 0 else high
    found = [_short(low), _short(high)]
    return found if found[0] <= least and most <= found[1] and found[0] < found[1] else None


def cycle(fact: Fact) -> float | None:
    """Return the period of a number whose name and range are those of a cycle."""
    if fact.kind != "number" or fact.least is None or fact.most is None or fact.constant:
        return None
    words = words_of(fact.name)
    for known, least, most, period in _CYCLES:
        if words & known and least <= fact.least and fact.most <= most:
            if period == 360 and fact.most - fact.least < 180:
                continue
            return period
    return None


def words_of(name: str) -> set[str]:
    """Return the words that a name is made of: `wind_dir` and `windDir` are wind and dir."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    for phrase, word in _PHRASES.items():
        name = name.replace(phrase, word)
    return set(re.split(r"[^a-z]+", name))


def seen(fact: Fact) -> str:
    """Return what was seen of a column, in a few words."""
    if fact.kind == "number" and fact.least is not None and fact.most is not None:
        words = f"seen: {fact.least:.6g} to {fact.most:.6g}"
        if _is_far(fact):
            words += f", but 98% of rows from {fact.low:.6g} to {fact.high:.6g}: look at the ends"
        return words
    if fact.kind == "text":
        return f"{fact.distinct:,} labels"
    return ""


def missing(fact: Fact) -> str:
    """Return what is missing or infinite of a column, in a few words; "" for nothing."""
    words = [f"{_percent(fact.missing)} missing"] if fact.missing else []
    words += [f"{fact.infinite:,} infinite: they go to quarantine"] if fact.infinite else []
    return "; ".join(words)


def _left(fact: Fact) -> str:
    """Return why a column is left out; "" where it is not."""
    if fact.kind == "odd":
        return f"{_short_type(fact.type)} is neither number, label nor time"
    if not fact.known:
        return "has no value at all"
    if INDEX.fullmatch(fact.name):
        return "is the number of a row, as pandas writes it"
    if fact.constant:
        return "is the same in every row"
    if fact.unique and fact.rows > FEW and (fact.kind == "text" or _is_number_of_row(fact)):
        return "names each row"
    if fact.kind == "text" and fact.distinct > MOST_LABELS:
        return f"about {fact.distinct:,} different texts are no labels"
    return ""


def _is_number_of_row(fact: Fact) -> bool:
    if not fact.integer or fact.least is None or fact.most is None:
        return False
    return fact.most - fact.least == fact.rows - 1 or "id" in words_of(fact.name)


def _plain(fact: Fact) -> dict[str, Any]:
    if fact.kind == "number":
        return measured(fact)
    return {"kind": "categorical"} if fact.kind in ("text", "flag") else {}


def _moment(fact: Fact) -> dict[str, Any]:
    parts = [] if fact.whole else ["hour_of_day"]
    parts.append("day_of_week")
    if (fact.most or 0.0) - (fact.least or 0.0) > A_YEAR:
        parts.append("day_of_year")
    return {"kind": "timestamp", "parts": parts}


def _is_far(fact: Fact) -> bool:
    """Whether an end lies as far from where most rows are as ten times the room they take."""
    if fact.low is None or fact.high is None or fact.least is None or fact.most is None:
        return False
    room = 10 * (fact.high - fact.low)
    return room > 0 and max(fact.most - fact.high, fact.low - fact.least) > room


def _short(number: float) -> float:
    rounded = float(f"{number:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.4g}%"


def _short_type(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."


def _joined(notes: list[str]) -> str:
    return "; ".join(filter(None, notes))
