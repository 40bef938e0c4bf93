"""What an exported model takes and gives, by name, and `inputs.json`, which says so beside it.

A raw column is an input of its own, of shape (rows,): a number as float64, NaN for missing; a
point in time as float64 seconds since 1970-01-01 UTC, NaN for missing; a label as its code, whose
last one stands for every other label and for a missing one, or, in a SavedModel, as its text.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.learning.bundle import Bundle
from tasks.learning.encoders import CategoricalEncoder, Encoder, TimestampEncoder

NUMBER, SECONDS, LABEL = "number", "seconds", "label"
DTYPES = {NUMBER: "float64", SECONDS: "float64", LABEL: "int32"}
MEANINGS = {
    NUMBER: "a number; NaN for missing",
    SECONDS: "seconds since 1970-01-01 UTC; NaN for missing",
    LABEL: "the label's place among `labels`; their count for another one and for missing",
}


@dataclass(frozen=True)
class RawInput:
    """One raw column, as one kind of value."""

    name: str
    """The column's name, where it is of letters, digits and `_`; else one like it."""
    column: str
    reading: str
    """number, seconds or label."""
    labels: tuple[str, ...] = ()
    """The bundle's vocabulary: a label's code is its place, the last code their count."""

    @property
    def missing(self) -> str:
        """The text that says that a label is missing: none of the vocabulary."""
        text = ""
        while text in self.labels:
            text += "?"
        return text


@dataclass(frozen=True)
class RawOutput:
    """One target."""

    name: str
    target: str
    unit: str


@dataclass(frozen=True)
class Interface:
    """All inputs, each once, and all outputs, in the order of the targets."""

    inputs: tuple[RawInput, ...]
    outputs: tuple[RawOutput, ...]

    def write(self, folder: Path, text: bool = False) -> None:
        """Write `inputs.json` into `folder`; `text` says that labels go in as text."""
        content = {
            "inputs": [_plain(entry, text) for entry in self.inputs],
            "outputs": [vars(output) | {"dtype": "float64"} for output in self.outputs],
        }
        whole = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (folder / "inputs.json").write_text(whole, "utf-8")


def interface(bundle: Bundle) -> Interface:
    """Return what a bundle's exported model takes and gives."""
    needed: dict[tuple[str, str], dict[str, None]] = {}
    for member in bundle.members:
        for encoder in member.preprocessing.encoders:
            own = encoder.known if isinstance(encoder, CategoricalEncoder) else ()
            needed.setdefault((encoder.column, reading(encoder)), {}).update(dict.fromkeys(own))
        for scaler in member.preprocessing.scalers:
            if scaler.present:
                needed.setdefault((scaler.present, NUMBER), {})
    scalers = bundle.members[0].preprocessing.scalers
    columns = [column for column, _ in needed]
    names = _names([*columns, *(s.column for s in scalers)])
    inputs = [
        RawInput(next(names), column, how, tuple(labels))
        for (column, how), labels in needed.items()
    ]
    outputs = [RawOutput(next(names), s.column, s.unit) for s in scalers]
    return Interface(tuple(inputs), tuple(outputs))


def reading(encoder: Encoder) -> str:
    """Return as what an encoder's column goes in."""
    match encoder:
        case TimestampEncoder():
            return SECONDS
        case CategoricalEncoder():
            return LABEL
        case _:
            return NUMBER


def _names(columns: Iterable[str]) -> Iterator[str]:
    """Yield a name that every format can bear for each column, each once, whatever the case."""
    taken: set[str] = set()
    for column in columns:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", column)
        plain = plain if re.match(r"[A-Za-z]", plain) else f"c{plain}"
        name, count = plain, 1
        while name.lower() in taken:
            count += 1
            name = f"{plain}_{count}"
        taken.add(name.lower())
        yield name


def _plain(entry: RawInput, text: bool) -> dict[str, Any]:
    plain = {"name": entry.name, "column": entry.column, "reading": entry.reading}
    if entry.reading != LABEL:
        return plain | {"dtype": DTYPES[entry.reading], "meaning": MEANINGS[entry.reading]}
    labels = list(entry.labels)
    if text:
        meaning = f"the label's text; {entry.missing!r} for missing"
        more = {"dtype": "string", "meaning": meaning, "missing": entry.missing}
    else:
        more = {"dtype": DTYPES[LABEL], "meaning": MEANINGS[LABEL]}
    return plain | more | {"labels": labels}
