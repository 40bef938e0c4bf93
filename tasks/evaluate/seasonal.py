"""Seasonal persistence: a target's own value a season before, looked up in the snapshot.

In: raw rows. Out: (rows, targets) in units; NaN where no kept row lies exactly that far back
among those that share the rest of the key.
"""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.split import TimeSplit, seconds
from tasks.database import connect, literal, quoted
from tasks.learning.tables import numbers
from tasks.learning.tables import seconds as seconds_of

Values = NDArray[np.float64]


def step_back(contract: Contract) -> int:
    """Return how many seconds back the value is: the fewest seasons after which it is known.

    A row's target is known `lead` after the row's time; without that, the gap between two splits
    is taken to reach as far, since it is there to keep targets from lying beyond it.
    """
    season = max(1, seconds(contract.evaluation.season))
    lead = contract.evaluation.lead
    if lead is None:
        lead = contract.split.gap if isinstance(contract.split, TimeSplit) else "0s"
    return season * max(1, math.ceil(seconds(lead) / season))


def seasonal_persistence(
    contract: Contract, snapshot: Path, splits: Path, rows: pa.Table
) -> Values:
    """Return for raw rows, which hold `_row`, the key and the time, the values a season before.

    `snapshot` is the file of all raw rows, `splits` names those that are not in quarantine. A row
    without a time, or one that is no point in time, has none.
    """
    targets = list(contract.target_columns)
    out = np.full((len(rows), len(targets)), np.nan)
    asked = _asked(contract, rows)
    if not len(asked):
        return out
    when = f"epoch_us(TRY_CAST(old.{quoted(contract.time or '')} AS TIMESTAMP))"
    same = "".join(f" AND old.{quoted(c)} = asked.k{i}" for i, c in enumerate(_rest(contract)))
    values = ", ".join(f"old.{quoted(t)} AS t{i}" for i, t in enumerate(targets))
    moments = asked.column("moment").to_numpy()
    with connect([snapshot, splits]) as database:
        database.register("asked", asked)
        found = database.sql(
            f"SELECT asked.place, {values} FROM asked "
            f"JOIN read_parquet({literal(str(snapshot))}) AS old ON {when} = asked.moment{same} "
            # Without the limits, a sorted file would be read as a whole for each few rows.
            f"WHERE {when} BETWEEN {moments.min()} AND {moments.max()} "
            f"AND old._row IN (SELECT _row FROM read_parquet({literal(str(splits))}))"
        ).to_arrow_table()
    place = found.column("place").to_numpy()
    for i in range(len(targets)):
        out[place, i] = numbers(found, f"t{i}")
    return out


def _rest(contract: Contract) -> list[str]:
    return [c for c in contract.key if c != contract.time]


def _asked(contract: Contract, rows: pa.Table) -> pa.Table:
    """Return the key and the moment, in microseconds, of each value that is looked for."""
    try:
        moments = seconds_of(rows, contract.time or "") - step_back(contract)
    except ValueError:  # rows may be ordered by a number
        moments = np.full(len(rows), np.nan)
    keys = {f"k{i}": rows.column(c) for i, c in enumerate(_rest(contract))}
    known = ~np.isnan(moments)
    micros = np.round(np.where(known, moments, 0.0) * 1e6).astype(np.int64)
    table = pa.table({"place": np.arange(len(rows)), "moment": micros} | keys)
    return table.filter(pa.array(known))
