"""`predictions.parquet`, written block by block: each test row with truth and answers, in units."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.evaluate.blocks import CANDIDATE, Block

INTERVAL = 0.9
"""The level of the candidate's intervals that are written."""


class PredictionsFile:
    """Columns `_row`, `fold`, `time`, and per target `truth/…`, `<model>/…`, `low/…`, `high/…`."""

    def __init__(self, contract: Contract, models: Sequence[str], file: Path) -> None:
        self.contract, self.models, self.file = contract, models, file
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "PredictionsFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, block: Block) -> None:
        """Write a block."""
        rows = predictions_table(self.contract, self.models, block)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.file, rows.schema)
        self._writer.write_table(rows)


def predictions_table(contract: Contract, models: Sequence[str], block: Block) -> pa.Table:
    """Return a block's truth and answers as the file has them, null where there is none."""
    out: dict[str, Any] = {
        "_row": block.rows.column("_row"),
        "fold": np.full(len(block), block.fold),
    }
    if contract.time:
        out["time"] = block.rows.column(contract.time)
    nothing = np.full_like(block.truth, np.nan)
    columns = {"truth": block.truth} | {m: block.answers[m].mean for m in models}
    low, high = (block.answers[CANDIDATE].intervals or {}).get(INTERVAL, (nothing, nothing))
    for i, target in enumerate(contract.target_columns):
        for name, values in (columns | {"low": low, "high": high}).items():
            out[f"{name}/{target}"] = pa.array(values[:, i], pa.float64(), from_pandas=True)
    return pa.table(out)
