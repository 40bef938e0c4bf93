"""The raw test rows of a fold, read from the snapshot block by block, in order of `_row`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks.database import columns, connect, literal, quoted
from tasks.forward_fill import FILE, StandIns

MOST_ROWS = 65_536
LEAST_ROWS = 1_024
NUMBERS = 1 << 22
"""How many numbers a model's answer to a block holds at most, while a block can be smaller."""
READ = 1 << 24
"""How many numbers are read at most at once, while a read can have fewer rows."""


def block_rows(targets: int, draws: int) -> int:
    """Return how many rows a block has, for `draws` samples of each row and target."""
    return min(MOST_ROWS, max(LEAST_ROWS, NUMBERS // (targets * max(1, draws))))


class FoldRows:
    """The rows of one split of a `fold`: `ids` are their `_row`, sorted.

    They have the contract's columns and `more`, and beside those what stands in for missing values,
    where features are filled from the rows before.
    """

    def __init__(
        self,
        contract: Contract,
        rows: Path,
        splits: Path,
        fold: int,
        split: str = "test",
        more: Iterable[str] = (),
    ) -> None:
        self.contract, self.rows, self.fold = contract, rows, fold
        self.names = list(dict.fromkeys(["_row", *contract.columns(), *more]))
        self.before = splits.with_name(FILE)
        own = f"WHERE {quoted(f'fold_{fold}')} = {literal(split)}"
        query = f"SELECT _row FROM read_parquet({literal(str(splits))}) {own} ORDER BY _row"
        with connect([splits]) as database:
            self.ids = np.asarray(database.sql(query).fetchnumpy()["_row"], np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def blocks(self, size: int) -> Iterator[pa.Table]:
        """Yield the raw rows with `_row`, at most `size` at once.

        More are read at once: each read takes whole parts of the file, however few its rows.
        """
        most = size * max(1, (min(MOST_ROWS, READ // len(self.names)) // size))
        before = StandIns(self.before)
        with connect([self.rows]) as database:
            for start in range(0, len(self.ids), most):
                ids = self.ids[start : start + most]
                found = before.beside(self._read(database, ids), ids)
                yield from (found.slice(i, size) for i in range(0, len(found), size))

    def sample(self, most: int) -> pa.Table:
        """Return at most `most` of the rows, always the same ones."""
        ids = self.ids
        if len(ids) > most:
            ids = np.sort(np.random.default_rng(0).choice(ids, most, replace=False))
        with connect([self.rows]) as database:
            return StandIns(self.before).beside(self._read(database, ids), ids)

    def time_edges(self, most: int) -> NDArray[np.float64]:
        """Return the times, as seconds, that cut the rows into at most `most` stretches.

        Each stretch holds about as many rows as another; rows of one moment are never apart.
        """
        time = f"epoch_us(TRY_CAST({quoted(self.contract.time or '')} AS TIMESTAMP))"
        shares = ", ".join(repr(i / most) for i in range(1, most))
        (cuts,) = self._over([f"quantile_disc({time}, [{shares}])"])
        # The same steps as `seconds` takes, so that an edge is equal to the time it was.
        return np.unique(np.array(cuts or [], np.float64)) / 1e6

    def spreads(self) -> NDArray[np.float64]:
        """Return each target's standard deviation (targets,); 0 where it does not vary."""
        targets = (f"{quoted(t)}::DOUBLE" for t in self.contract.target_columns)
        found = self._over([f"stddev_pop({t}) FILTER (NOT isnan({t}))" for t in targets])
        return np.nan_to_num(np.array([v or 0.0 for v in found], np.float64))

    def _over(self, values: list[str]) -> tuple[Any, ...]:
        """Return SQL aggregates over all of the rows."""
        query = (
            f"SELECT {', '.join(values)} FROM read_parquet({literal(str(self.rows))}) "
            "WHERE _row IN (SELECT id FROM wanted)"
        )
        with connect([self.rows]) as database:
            database.register("wanted", pa.table({"id": self.ids}))
            return database.execute(query).fetchone() or (None,) * len(values)

    def _read(self, database: Any, ids: NDArray[np.int64]) -> pa.Table:
        """Return the rows of sorted ids. The limits let the file's other parts be passed over."""
        names = columns(self.names)
        database.register("wanted", pa.table({"id": ids}))
        low, high = (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)
        found: pa.Table = database.sql(
            f"SELECT {names} FROM read_parquet({literal(str(self.rows))}) "
            f"WHERE _row BETWEEN {low} AND {high} AND _row IN (SELECT id FROM wanted) "
            "ORDER BY _row"
        ).to_arrow_table()
        database.unregister("wanted")
        return found
