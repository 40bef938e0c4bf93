"""What stands in for the missing values of features that are filled from the rows before.

In: the rows kept, in DuckDB. Out: a Parquet file with a row group a stretch of the snapshot and a
float64 column a feature: the last finite value up to a row, in order of time, among the rows that
share the rest of the key; null where there is none, and in rows that are not kept.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.columns import NumericFeature
from data_contracts.contract import Contract
from tasks.database import columns, quoted

if TYPE_CHECKING:
    import duckdb


def write_before(
    contract: Contract,
    database: "duckdb.DuckDBPyConnection",
    spans: Sequence[tuple[int, int]],
    file: Path,
) -> bool:
    """Write the file for rows of the snapshot in spans of `_row`; False where no feature needs it.

    DuckDB orders the columns that are needed as a whole, so memory grows with these alone.
    """
    filled = [
        c
        for c, f in contract.feature_columns.items()
        if isinstance(f, NumericFeature) and f.impute == "forward_fill"
    ]
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
