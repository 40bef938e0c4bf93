"""The recent rows of a dataset: new enough, and never seen by the champion.

In: a snapshot's rows, the champion's contract and the keys that it has seen. Out: Recent, a
Parquet file. Raises DataError where there is no such row, or no column that the champion needs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from data_contracts.source import iso
from data_contracts.split import seconds
from tasks.database import columns, connect, literal
from tasks.errors import DataError
from tasks.forward_fill import StandIns, stretches, write_before
from tasks.histograms import is_timed
from tasks.seen import key_hashes, read_seen
from tasks.usual import moments

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Recent:
    """Recent rows with the champion's columns and `_row`."""

    file: Path
    rows: int
    types: Mapping[str, str]
    """Of each column, in Arrow's words."""
    since: str | None
    """From which time on rows were taken; None where all were."""
    until: str | None


def recent_rows(
    contract: Contract,
    types: Mapping[str, str],
    rows: Path,
    seen: Path | None,
    since: datetime | str,
    file: Path,
) -> Recent:
    """Write the recent rows into `file`.

    `contract` is the champion's, `types` the snapshot's columns, `since` a moment or how long
    before the newest row, such as `7d`.
    """
    names = _needed(contract, types)
    timed = is_timed(contract, types)
    if isinstance(since, datetime) and not timed:
        raise DataError(f"{contract.dataset} has no column of times, so no rows are since a moment")
    last = _newest(contract, rows) if timed else None
    start = _start(since, last) if last else None
    blocks = _blocks(contract, names, rows, start)
    before = file.with_suffix(".before")
    _fill(contract, rows, before)
    count = _write(contract, blocks, seen, StandIns(before), file)
    before.unlink(missing_ok=True)
    if not count:
        when = f" since {iso(start)}; the newest is of {iso(last)}" if start and last else ""
        raise DataError(f"no row of {contract.dataset} is new to the champion{when}")
    own = {name: types[name] for name in names}
    return Recent(file, count, own, iso(start) if start else None, iso(last) if last else None)


def _needed(contract: Contract, types: Mapping[str, str]) -> list[str]:
    """Return the columns that are read: targets may be away, since their truth may be too."""
    names = contract.columns()
    must = {*contract.key, *contract.feature_columns, *contract.present_columns.values()}
    absent = [n for n in names if n in must and n not in types]
    if absent:
        raise DataError(
            f"the champion needs {', '.join(absent)}, which the rows of {contract.dataset} have no "
            f"more: they have {', '.join(types)}. Retrain it, or mend source.query"
        )
    return [n for n in names if n in types]


def _newest(contract: Contract, rows: Path) -> datetime | None:
    query = f"SELECT max({moments(contract.time or '')}) FROM read_parquet({literal(str(rows))})"
    with connect([rows]) as database:
        ((last,),) = database.execute(query).fetchall()
    return None if last is None else datetime.fromtimestamp(last / 1e6, UTC)


def _start(since: datetime | str, last: datetime) -> datetime:
    return last - timedelta(seconds=seconds(since)) if isinstance(since, str) else since


def _blocks(
    contract: Contract, names: list[str], rows: Path, start: datetime | None
) -> Iterator[pa.Table]:
    """Yield the rows that are new enough; one empty block where there are none."""
    where = "TRUE"
    if start is not None:
        where = f"{moments(contract.time or '')} >= {int(start.timestamp() * 1e6)}"
    asked = columns(list(dict.fromkeys(["_row", *names])))
    with connect([rows]) as database:
        reader = database.sql(
            f"SELECT {asked} FROM read_parquet({literal(str(rows))}) WHERE {where} ORDER BY _row"
        ).to_arrow_reader(BATCH_ROWS)
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _fill(contract: Contract, rows: Path, file: Path) -> None:
    """Write what stands in for missing values, where features are filled from the rows before."""
    with connect([rows]) as database:
        database.execute(f"CREATE VIEW kept AS SELECT * FROM read_parquet({literal(str(rows))})")
        write_before(contract, database, stretches(pq.read_metadata(rows).num_rows), file)


def _write(
    contract: Contract,
    blocks: Iterator[pa.Table],
    seen: Path | None,
    before: StandIns,
    file: Path,
) -> int:
    """Write the rows that the champion has not seen; return how many there are."""
    known = np.zeros(0, np.uint64) if seen is None else read_seen(seen)
    first = _beside(before, next(blocks))
    count = 0
    with pq.ParquetWriter(file, first.schema) as writer:
        for block in blocks:
            new = block.filter(pa.array(~np.isin(key_hashes(contract, block), known)))
            writer.write_table(_beside(before, new))
            count += len(new)
    return count


def _beside(before: StandIns, rows: pa.Table) -> pa.Table:
    return before.beside(rows, rows.column("_row").to_numpy())
