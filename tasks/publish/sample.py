"""Raw test rows that a version is proved on: at most MOST_ROWS, spread over all test rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.learning.bundle import Bundle
from tasks.learning.tables import numbers
from tasks.publish.proof import Sample
from tasks.records import Candidate
from tasks.split_rows import split_rows
from tasks.storage import Storage

MOST_ROWS = 1000


def sample(candidate: Candidate, bundle: Bundle, storage: Storage) -> Sample:
    """Return test rows of the candidate's first fold, every n-th of them."""
    shards = candidate.shards
    rows = storage.fetch(shards.checked.snapshot.place) / "rows.parquet"
    splits = storage.fetch(shards.place) / "splits.parquet"
    needs = list(bundle.columns)
    step = -(-shards.folds[0].rows["test"] // MOST_ROWS)
    found = _every(step, rows, splits, [*needs, *shards.targets])
    truth = np.stack([numbers(found, target) for target in shards.targets], axis=1)
    return Sample(found.select(needs), truth)


def _every(step: int, rows: Path, splits: Path, names: list[str]) -> pa.Table:
    parts, seen = [], 0
    for block in split_rows(rows, splits, [0], ["test"], names):
        parts.append(block.take(np.arange(-seen % step, len(block), step)))
        seen += len(block)
    return pa.concat_tables(parts)
