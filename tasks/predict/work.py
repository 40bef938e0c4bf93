"""From blocks of rows to parts on disk, and from those to the finished file.

In: Inputs, what answers a block, and Parts, some of which may be there. Out: a Tally.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.forward_fill import StandIns
from tasks.predict.answers import Answered, Answers
from tasks.predict.inputs import Inputs
from tasks.predict.parts import Drafts, Part, Parts
from tasks.predict.streaming import Behind, Clock, in_order
from tasks.room import telling_of_room

BLOCK_CELLS = 1 << 20
"""How many cells are read at once: of 100 columns, 8,192 rows. More do not stay in the cache."""
PART_CELLS = 1 << 22
"""How many cells a part is written of: what a kill costs, and a row group of the output."""
BLOCK_ROWS, PART_ROWS = 1 << 16, 1 << 18
"""The most rows of a block and of a part."""
LEAST = 1 << 10
"""The fewest rows of either."""


@dataclass
class Tally:
    """What was done so far."""

    read: int = 0
    written: int = 0
    invalid: int = 0
    resumed: int = 0
    """How many rows were read by a run that was killed."""
    parts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    clock: Clock = field(default_factory=Clock)

    def add(self, part: Part) -> None:
        """Count a part."""
        self.read += part.read
        self.written += len(part.rows)
        self.invalid += part.invalid
        self.reasons += part.reasons
        self.parts += 1


def answer_all(
    inputs: Inputs,
    answers: Answers,
    parts: Parts,
    about: Mapping[str, str],
    quarantine: str,
    before: StandIns,
    progress: Callable[[int, int], None],
) -> Tally:
    """Answer all rows that no part has, and move the finished files into place.

    `about` goes into the output's metadata, `before` beside the rows. What is not read by then is
    not there later: a file is written whole or not at all.
    """
    columns = answers.columns
    tally = Tally()
    with (
        telling_of_room(Path(parts.store.path if parts.store.local else ".")),
        Drafts(parts, columns.written.with_metadata(dict(about)), columns.aside) as drafts,
    ):
        for part in parts.read():
            drafts.write(part)
            tally.add(part)
        tally.resumed = tally.read
        progress(tally.read, inputs.rows)
        with Behind() as behind:
            for part in _parts(_blocks(inputs, answers, before, tally), columns.written):
                number = tally.parts
                tally.add(part)
                behind.do(partial(_write, parts, drafts, part, number, tally.clock))
                progress(tally.read, inputs.rows)
            behind.wait()
        drafts.finish(quarantine)
    return tally


def _write(parts: Parts, drafts: Drafts, part: Part, number: int, clock: Clock) -> None:
    start = time.perf_counter()
    parts.add(number, part)
    drafts.write(part)
    clock.seconds["writing"] += time.perf_counter() - start


def _blocks(inputs: Inputs, answers: Answers, before: StandIns, tally: Tally) -> Iterator[Answered]:
    """Yield the answers to all rows that are not answered yet, in order."""
    names = answers.columns.read.names
    size = rows_of(BLOCK_CELLS, len(names), BLOCK_ROWS)
    blocks = inputs.blocks(names, size, tally.read)
    numbered = _numbered(tally.clock.timed("reading", blocks), before, tally.read)
    for found in in_order(numbered, lambda block: answers(*block)):
        for name, seconds in found.seconds.items():
            tally.clock.seconds[name] += seconds
        yield found


def _numbered(
    blocks: Iterator[pa.Table], before: StandIns, first: int
) -> Iterator[tuple[pa.Table, int]]:
    for block in blocks:
        yield before.beside(block, np.arange(first, first + len(block))), first
        first += len(block)


def _parts(blocks: Iterator[Answered], schema: pa.Schema) -> Iterator[Part]:
    """Yield blocks put together to parts."""
    size, own = rows_of(PART_CELLS, len(schema), PART_ROWS), list[Answered]()
    for block in blocks:
        own.append(block)
        if sum(each.read for each in own) >= size:
            yield _part(own)
            own = []
    if own:
        yield _part(own)


def _part(blocks: Sequence[Answered]) -> Part:
    return Part(
        sum(block.read for block in blocks),
        pa.concat_tables([block.rows for block in blocks]),
        pa.concat_tables([block.aside for block in blocks]),
        sum(block.invalid for block in blocks),
        sum((block.reasons for block in blocks), Counter[str]()),
    )


def rows_of(cells: int, columns: int, most: int) -> int:
    """Return how many rows of so many columns are about that many cells, as a power of two."""
    rows = max(LEAST, min(most, cells // columns))
    return 1 << (rows.bit_length() - 1)
