"""What stands in for the missing values of features that are filled from the rows before.

In: rows with `_row`, in DuckDB. Out: a Parquet file with a row group a stretch of them and a
float64 column a feature: the last finite value up to a row, in order of time, among the rows that
share the rest of the key; null where there is none, and in rows that are not kept. Whatever reads
rows to be predicted puts these columns beside them, so that a model answers as it has learned.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.columns import NumericFeature
from data_contracts.contract import Contract
from tasks.database import columns, quoted
from tasks.learning.encoders import stand_in

if TYPE_CHECKING:
    import duckdb

FILE = "before.parquet"
"""Its name beside the shards."""
STRETCH = 65_536


def filled_features(contract: Contract) -> list[str]:
    """Return the features that are filled from the rows before."""
    return [
        c
        for c, f in contract.feature_columns.items()
        if isinstance(f, NumericFeature) and f.impute == "forward_fill"
    ]


def write_before(
    contract: Contract,
    database: "duckdb.DuckDBPyConnection",
    spans: Sequence[tuple[int, int]],
    file: Path,
) -> bool:
    """Write the file for the rows of the table `kept`, in spans of `_row`; False where no feature
    needs it.

    DuckDB orders the columns that are needed as a whole, so memory grows with these alone.
    """
    filled = filled_features(contract)
    if not filled:
        return False
    database.execute(f"CREATE TEMP TABLE before AS {_query(contract, filled)}")
    schema = pa.schema([(c, pa.float64()) for c in filled])
    names = columns(filled)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for start, stop in spans:
            query = (
                f"SELECT {names} FROM range({start}, {stop}) place "
                f"LEFT JOIN (SELECT * FROM before WHERE _row >= {start} AND _row < {stop}) "
                "ON _row = place.range ORDER BY place.range"
            )
            part = database.sql(query).to_arrow_table().cast(schema)
            writer.write_table(part, row_group_size=max(1, len(part)))
    database.execute("DROP TABLE before")
    return True


def stretches(count: int) -> list[tuple[int, int]]:
    """Return the spans of so many rows."""
    return [(i, min(i + STRETCH, count)) for i in range(0, count, STRETCH)]


def _query(contract: Contract, filled: Sequence[str]) -> str:
    rest = [c for c in contract.key if c != contract.time]
    groups = f"PARTITION BY {columns(rest)} " if rest else ""
    time = quoted(contract.time or "")
    window = f"({groups}ORDER BY {time}, _row ROWS UNBOUNDED PRECEDING)"
    parts = []
    for column in filled:
        name = quoted(column)
        finite = f"CASE WHEN isfinite({name}::DOUBLE) THEN {name}::DOUBLE END"
        parts.append(f"last_value({finite} IGNORE NULLS) OVER {window} AS {name}")
    return f"SELECT _row, {', '.join(parts)} FROM kept"


class StandIns:
    """The columns of such a file, put beside rows that come in about the order of `_row`."""

    def __init__(self, file: Path) -> None:
        """`file` may be absent: then rows stay as they are."""
        self.file = pq.ParquetFile(file) if file.is_file() else None
        self.kept: tuple[int, pa.Table] | None = None

    def beside(self, rows: pa.Table, ids: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pa.Table:
        """Return rows with the columns of those numbered `ids` (n,), in ascending order."""
        if self.file is None:
            return rows
        parts = list(self._parts(ids)) or [self.file.schema_arrow.empty_table()]
        found = pa.concat_tables(parts)
        for name in found.column_names:
            rows = rows.append_column(stand_in(name), found.column(name))
        return rows

    def _parts(self, ids: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Iterator[pa.Table]:
        if self.file is None:
            return
        start = 0
        for i in range(self.file.num_row_groups):
            stop = start + self.file.metadata.row_group(i).num_rows
            own = ids[(ids >= start) & (ids < stop)]
            if own.size:
                yield self._group(i).take(pa.array(own - start))
            start = stop

    def _group(self, index: int) -> pa.Table:
        if self.file is not None and (self.kept is None or self.kept[0] != index):
            self.kept = (index, self.file.read_row_group(index))
        assert self.kept is not None
        return self.kept[1]
