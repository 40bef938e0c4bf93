"""Which split each row of a snapshot is in, held as a byte a row.

`splits.parquet` holds the same as words: `_row` and a column a division, null where a division
leaves the row out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.split import SPLITS
from tasks.database import literal

Codes = NDArray[np.int8]

WORDS = (*SPLITS, "gap")
OTHER, LEFT_OUT = len(WORDS), -1
"""A word that is no split, and no word at all: a quarantined row, or one outside a fold."""
BATCH_ROWS = 65_536
WRITE_ROWS = 1_048_576


def read_codes(database: Any, query: str, count: int) -> tuple[Codes, dict[str, int]]:
    """Return the code of each of `count` rows of the snapshot, and how many rows have each word.

    `query` yields `_row` and `split` for the rows that are there.
    """
    words = " ".join(f"WHEN {literal(word)} THEN {code}" for code, word in enumerate(WORDS))
    coded = f"SELECT _row, (CASE split {words} ELSE {OTHER} END)::TINYINT AS code FROM ({query})"
    codes = np.full(count, LEFT_OUT, np.int8)
    for batch in database.sql(coded).to_arrow_reader(BATCH_ROWS):
        codes[batch.column("_row").to_numpy()] = batch.column("code").to_numpy()
    if not (codes == OTHER).any():
        return codes, _counts(codes)
    every = f"SELECT coalesce(split, 'NULL'), count(*) FROM ({query}) GROUP BY ALL"
    return codes, dict(database.execute(every).fetchall())


def table_codes(splits: pa.Table, name: str, count: int) -> tuple[Codes, dict[str, int]]:
    """Return the same of a column of a table of splits, in which a null is a row left out."""
    codes = np.full(count, LEFT_OUT, np.int8)
    words = splits.column(name).combine_chunks()
    own = _coded(words)
    own[np.asarray(words.is_null())] = LEFT_OUT
    codes[splits.column("_row").to_numpy()] = own
    return codes, _counts(own)


def _counts(codes: Codes) -> dict[str, int]:
    """Return how many rows have each word, for those that any row has."""
    found = np.bincount(codes[codes >= 0], minlength=len(WORDS))
    return {word: int(n) for word, n in zip(WORDS, found, strict=True) if n}


def _coded(words: Any) -> Codes:
    places = pc.index_in(words, value_set=pa.array(WORDS))
    return np.asarray(pc.fill_null(places, OTHER).to_numpy(zero_copy_only=False)).astype(np.int8)


def write_splits(codes: Codes, name: str, file: Path) -> None:
    """Write the words of all rows that have one, in order of `_row`."""
    # Words by their codes, which are read as words: `_row` hardly ever skips a number.
    schema = pa.schema([("_row", pa.int64()), (name, pa.dictionary(pa.int8(), pa.string()))])
    words = pa.array(WORDS)
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=[name],
        column_encoding={"_row": "DELTA_BINARY_PACKED"},
        store_schema=False,
    ) as writer:
        for start in range(0, codes.size, WRITE_ROWS):
            own = codes[start : start + WRITE_ROWS]
            rows = np.flatnonzero(own != LEFT_OUT)
            coded = pa.DictionaryArray.from_arrays(own[rows], words)
            columns: Sequence[Any] = [pa.array(rows + start), coded]
            writer.write_table(pa.table(columns, schema=schema))
