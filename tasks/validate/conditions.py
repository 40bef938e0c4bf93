"""Conditions in SQL, tried before they are asked; and how old the newest row is.

In: a contract and the rows' file. Out: what is wrong with a condition, in words; a moment.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from data_contracts.contract import Contract
from data_contracts.expectations import Fresh, RowSql, TableSql
from data_contracts.source import moment
from data_contracts.split import seconds
from tasks.database import connect, first_line, last_time, literal
from tasks.records import Checked
from tasks.validate.asked import condition


def sql_faults(contract: Contract, rows: Path) -> dict[str, str]:
    """Return what is wrong with the contract's conditions in SQL, by condition; {} where nothing.

    They are bound to the rows' columns, and not run.
    """
    import duckdb

    every = (*contract.expectations.rows, *contract.expectations.table)
    conditions = [check for check in every if isinstance(check, RowSql | TableSql)]
    if not conditions:
        return {}
    found = {}
    with connect([rows]) as database:
        for check in conditions:
            one = "" if isinstance(check, TableSql) else "_row, "
            query = f"SELECT {one}{condition(check.holds)} FROM read_parquet({literal(str(rows))})"
            try:
                database.execute(f"EXPLAIN {query}")
            except duckdb.Error as error:
                expected = "expected a condition in DuckDB's SQL over the rows' columns"
                found[check.holds] = f"{check.holds}: {expected}, came {first_line(error)}"
    return found


def newest(contract: Contract, rows: Path) -> str | None:
    """Return the time of the newest row, in ISO 8601, where the contract asks how old it is."""
    if not any(isinstance(c, Fresh) for c in contract.expectations.table):
        return None
    return last_time(rows, contract.time or "")


def stale(contract: Contract, checked: Checked) -> list[tuple[Literal["stop", "warn"], str]]:
    """Return the severity and the words of each check of freshness that does not hold now, or did
    not on the day that the run is made as of."""
    now = contract.source.as_of or datetime.now(UTC)
    found = []
    for check in contract.expectations.table:
        if isinstance(check, Fresh) and checked.newest is not None:
            age = now - moment(checked.newest)
            if age > timedelta(seconds=seconds(check.within)):
                words = f"{contract.time}: expected the newest row within {check.within}, came "
                words += f"{checked.newest}, {_said(age)} ago; look whether the source is fed"
                found.append((check.severity, words))
    return found


def _said(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
