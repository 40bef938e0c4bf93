"""What Great Expectations needs to know of the rows, counted by few queries for all checks at once.

In: Checks and the rows' file. Out: per check the library's metrics by their names. The library
can count for itself, and is asked to where rows break a check; that takes it a second or more for
a hundred checks, however few the rows, and several passes over them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.database import columns, connect, literal, quoted
from tasks.validate.check import Check

if TYPE_CHECKING:
    import duckdb

TABLE = "rows"
AT_ONCE = 400
"""The most that one query counts: the time to plan one grows with the square of it."""
_ALL = "count(*)"
Metrics = dict[str, Any]


def opened(file: Path, view: str) -> "duckdb.DuckDBPyConnection":
    """Return a connection that sees the rows in `file`, by the SQL `view` of them, as TABLE."""
    database = connect([file])
    database.execute(f"CREATE VIEW {TABLE} AS {view}")
    return database


def counted(checks: Sequence[Check], file: Path, view: str) -> dict[int, Metrics]:
    """Return the library's metrics by the place of the check that they are of.

    A check is left out where its query fails, or where rows may repeat that should be unique.
    """
    asked = {place: _metrics(check) for place, check in enumerate(checks)}
    in_order = {p for p, c in enumerate(checks) if c.derived and c.severity != "stop"}
    values: dict[str, Any] = {}
    with opened(file, view) as database:
        # What is derived row by row may need the rows in order: apart, or the rest waits for it.
        for places in (asked.keys() - in_order, in_order):
            # Column by column, so that however many queries there are, each column is read once.
            ordered = sorted(places, key=lambda p: checks[p].columns)
            wanted = dict.fromkeys(sql for p in ordered for sql in asked[p].values())
            values |= _values(database, [sql for sql in wanted if sql not in values])
        names = [name for name, *_ in database.execute(f"DESCRIBE {TABLE}").fetchall()]
        alike = {p for p, c in enumerate(checks) if _is_unique(c) and _repeats(database, c.columns)}
    return {
        place: {name: values[sql] for name, sql in metrics.items()} | {"table.columns": names}
        for place, metrics in asked.items()
        if place not in alike and values.keys() >= set(metrics.values())
    }


def _values(database: "duckdb.DuckDBPyConnection", wanted: Sequence[str]) -> dict[str, Any]:
    """Return what aggregates in SQL come to, without those of a query that fails."""
    import duckdb

    found: dict[str, Any] = {}
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        try:
            row = database.execute(f"SELECT {', '.join(some)} FROM {TABLE}").fetchall()[0]
        except duckdb.Error:
            continue
        found |= dict(zip(some, row, strict=True))
    return found


def _metrics(check: Check) -> dict[str, str]:
    """Return the aggregates in SQL that a check needs, by the library's names for them."""
    options = check.options
    own = quoted(options.get("column", ""))
    match check.expectation:
        case "ExpectColumnToExist":
            return {}
        case "ExpectTableRowCountToBeBetween":
            return {"table.row_count": _ALL}
        case "ExpectColumnProportionOfNonNullValuesToBeBetween":
            return {"column.non_null_proportion": f"count({own}) / {_ALL}"}
        case "ExpectColumnMeanToBeBetween":
            return {"column.mean": f"avg(1e0 * {own})"}
        case "ExpectColumnStdevToBeBetween":
            return {"column.standard_deviation": f"stddev_samp({own})"}
        case "ExpectColumnMaxToBeBetween":
            return {"column.max": f"max({own})"}
        case "ExpectColumnValuesToNotBeNull":
            return _cells("column_values.nonnull", own, f"{_ALL} - count({own})")
        case "ExpectColumnValuesToBeBetween":
            return _cells("column_values.between", own, f"count_if(NOT ({_within(own, options)}))")
        case "ExpectColumnValuesToBeInSet":
            members = ", ".join(_constant(v) for v in options["value_set"])
            return _cells("column_values.in_set", own, f"count_if({own} NOT IN ({members}))")
        case "ExpectColumnValuesToBeUnique":
            return _cells("column_values.unique", own, "0")
        case "ExpectCompoundColumnsToBeUnique":
            return _together("compound_columns.unique", options["column_list"], "OR", "0")
        case "ExpectColumnPairValuesAToBeGreaterThanB":
            pair = options["column_A"], options["column_B"]
            bad = f"count_if({quoted(pair[0])} < {quoted(pair[1])})"
            return _together("column_pair_values.a_greater_than_b", pair, "AND", bad)
    raise ValueError(f"no metrics are known of {check.expectation}")


def _cells(kind: str, own: str, bad: str) -> dict[str, str]:
    missing = f"{_ALL} - count({own})"
    return {
        "table.row_count": _ALL,
        "column_values.nonnull.unexpected_count": missing,
        f"{kind}.unexpected_count": bad,
    }


def _together(kind: str, names: Iterable[str], link: str, bad: str) -> dict[str, str]:
    judged = f" {link} ".join(f"{quoted(name)} IS NOT NULL" for name in names)
    return {
        "table.row_count": _ALL,
        f"{kind}.filtered_row_count": f"count_if({judged})",
        f"{kind}.unexpected_count": bad,
    }


def _within(own: str, options: dict[str, Any]) -> str:
    sides = {"min_value": ">=", "max_value": "<="}
    parts = [f"{own} {s} {_constant(options[o])}" for o, s in sides.items() if o in options]
    return " AND ".join(parts)


def _constant(value: Any) -> str:
    """Return a value in SQL: a float as the nearest DOUBLE, where `0.1` would be a decimal."""
    if isinstance(value, str):
        return literal(value)
    return f"CAST({literal(repr(value))} AS DOUBLE)" if isinstance(value, float) else str(value)


def _is_unique(check: Check) -> bool:
    return check.expectation in ("ExpectColumnValuesToBeUnique", "ExpectCompoundColumnsToBeUnique")


def _repeats(database: "duckdb.DuckDBPyConnection", names: Sequence[str]) -> bool:
    """Say whether rows may share the values of columns.

    Where each row comes after the one before it, as rows in order of their key do, none can.
    """
    numbers = range(len(names))
    both = ", ".join(
        f"{quoted(c)} AS a{i}, lag({quoted(c)}) OVER () AS b{i}" for i, c in enumerate(names)
    )
    own, before = (f"({', '.join(f'{side}{i}' for i in numbers)})" for side in "ab")
    later = f"SELECT {_ALL} - count_if({own} > {before}) FROM (SELECT {both} FROM {TABLE})"
    again = f"SELECT 1 FROM {TABLE} GROUP BY {columns(names)} HAVING {_ALL} > 1 LIMIT 1"
    if database.execute(later).fetchall()[0][0] <= 1:
        return False
    return bool(database.execute(again).fetchall())
