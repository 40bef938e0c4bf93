"""The quarantine: the rows that break a row-level expectation, whole, with the reason for each.

In: Outcomes and the rows' file. Out: `quarantine.parquet` and a Reason per broken expectation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.records import Reason
from tasks.validate.engine import Outcome

BATCH_ROWS = 65_536
EXAMPLES = 3


def write_quarantine(outcomes: Sequence[Outcome], rows: Path, file: Path) -> int:
    """Write the bad rows to `file`, with `_reasons`; return how many there are.

    `rows` numbers its rows from 0 in `_row`, in order.
    """
    reasons = _reasons_by_row(outcomes)
    bad = np.array(sorted(reasons), np.int64)
    with pq.ParquetFile(rows) as source:
        schema = source.schema_arrow.remove_metadata()
        field = pa.field("_reasons", pa.list_(pa.string()))
        with pq.ParquetWriter(file, schema.append(field), compression="zstd") as writer:
            for batch in rows_at(source, bad):
                words = [reasons[i] for i in batch.column("_row").to_pylist()]
                arrays = [*batch.columns, pa.array(words, field.type)]
                writer.write_batch(pa.record_batch(arrays, schema=schema.append(field)))
    return len(bad)


def reasons_of(contract: Contract, outcomes: Sequence[Outcome], file: Path) -> list[Reason]:
    """Return why rows are in the quarantine `file`, the reason with most rows first."""
    broken = [o for o in outcomes if o.rows]
    wanted = sorted({i for o in broken for i in o.rows[:EXAMPLES]})
    with pq.ParquetFile(file) as source:
        every = source.schema_arrow.names
        shown = {*contract.key, *(c for o in broken for c in _judged(o, every))}
        names = [n for n in every if n in shown]
        table = source.read(columns=["_row", *names])
    kept = table.take(np.searchsorted(table.column("_row").to_numpy(), wanted))
    cells = {row["_row"]: row for row in kept.to_pylist()}
    found = [
        Reason(
            expectation=o.check.words,
            rows=o.unexpected,
            examples=tuple(_example(contract, o, cells[i]) for i in o.rows[:EXAMPLES]),
        )
        for o in broken
    ]
    return sorted(found, key=lambda r: -r.rows)


def _reasons_by_row(outcomes: Sequence[Outcome]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for outcome in outcomes:
        for row in outcome.rows:
            found.setdefault(row, []).append(outcome.check.words)
    return found


def rows_at(source: pq.ParquetFile, bad: Any) -> Iterator[pa.RecordBatch]:
    """Yield the rows that `bad` numbers, in order, batch by batch."""
    start = 0
    for batch in source.iter_batches(BATCH_ROWS) if len(bad) else ():
        first, last = np.searchsorted(bad, [start, start + len(batch)])
        if first < last:
            yield batch.take(pa.array(bad[first:last] - start))
        start += len(batch)


def _judged(outcome: Outcome, names: Iterable[str]) -> Sequence[str]:
    """Return the columns of a check, or those that a condition in SQL has among its words."""
    text = outcome.check.subject
    return outcome.check.columns or [
        n for n in names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", text)
    ]


def _example(contract: Contract, outcome: Outcome, cells: dict[str, Any]) -> str:
    """Return the offending value and the row's key: `1048.36 at origin=EWR`."""
    values = {c: _text(cells[c]) for c in _judged(outcome, cells)}
    pairs = [f"{c}={v}" for c, v in values.items()]
    value = ", ".join(pairs if len(pairs) > 1 or not outcome.check.columns else values.values())
    key = ", ".join(f"{c}={_text(cells[c])}" for c in contract.key if c in cells)
    return f"{value} at {key}".lstrip() if key else f"{value} in row {cells['_row']}"


def key_text(contract: Contract, cells: Mapping[str, Any]) -> str:
    """Return a row's key as examples show it, and whole: `origin=EWR, hour=3`."""
    return ", ".join(f"{c}={_whole(cells[c])}" for c in contract.key if c in cells)


def _whole(value: Any) -> str:
    return "missing" if value is None else str(value)


def _text(value: Any) -> str:
    text = _whole(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
