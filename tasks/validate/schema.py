"""The schema part: whether every column that the contract needs is there, with a fitting type.

In: a contract and the rows' Arrow schema. Out: the faults by column, in words. Reads no row.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import pyarrow as pa

from data_contracts.contract import Contract
from data_contracts.expectations import Between, Deviation, Mean, OneOf
from data_contracts.section import did_you_mean
from tasks.database import quoted

Kind = Literal["number", "text", "label", "time", "any"]

WORDS: dict[Kind, str] = {
    "number": "a number",
    "text": "text",
    "label": "text, a whole number or true/false",
    "time": "a timestamp or a date",
    "any": "a column",
}
_CASTS: dict[Kind, str] = {
    "number": "DOUBLE",
    "text": "VARCHAR",
    "label": "VARCHAR",
    "time": "TIMESTAMP",
    "any": "",
}


def schema_faults(contract: Contract, schema: pa.Schema) -> dict[str, str]:
    """Return what is wrong with the columns that the contract needs, by column; {} where nothing.

    A fault says what was expected, what came, and the nearest names where a name is not there.
    """
    alike: dict[str, list[str]] = {}
    for name in schema.names:
        alike.setdefault(name.lower(), []).append(name)
    wanted = needs(contract)
    free = [name for name in schema.names if name not in wanted and name != "_row"]
    return {
        column: fault
        for column, kinds in wanted.items()
        if (fault := _fault(column, kinds, schema, alike.get(column.lower(), []), free))
    }


def needs(contract: Contract) -> dict[str, list[Kind]]:
    """Return each column that the contract needs, with what it has to hold."""
    found: dict[str, list[Kind]] = {column: [] for column in contract.columns()}
    for column, kind in _uses(contract):
        found[column].append(kind)
    return {column: list(dict.fromkeys(kinds)) or ["any"] for column, kinds in found.items()}


def holds(kind: Kind, column: pa.DataType) -> bool:
    """Say whether a column of this type can be what is needed. A column of nulls can be all."""
    return pa.types.is_null(column) or _TESTS[kind](column)


def _uses(contract: Contract) -> Iterator[tuple[str, Kind]]:
    kinds: dict[str, Kind] = {"categorical": "label", "timestamp": "time"}
    for column, feature in contract.feature_columns.items():
        yield column, kinds.get(feature.kind, "number")
    for column in (*contract.target_columns, *contract.present_columns.values()):
        yield column, "number"
    for constraint in contract.constraints:
        yield from ((column, "number") for column in constraint.columns)
    if contract.row_weight:
        yield contract.row_weight, "number"
    if contract.time:
        yield contract.time, "time"
    for check in (*contract.expectations.rows, *contract.expectations.table):
        if isinstance(check, OneOf):
            text = any(isinstance(v, str) for v in check.values)
            yield check.column, "text" if text else "number"
        elif isinstance(check, Between | Mean | Deviation):
            yield check.column, "number"


def _fault(
    column: str, kinds: list[Kind], schema: pa.Schema, alike: list[str], free: list[str]
) -> str:
    """Return what is wrong with a column; `alike` are the names that differ by case at most, and
    `free` those that the contract does not name."""
    if column not in alike:
        near = did_you_mean(column, free)
        mend = f"{near} rename it in source.query or in the contract".strip()
        return f"{column}: expected {WORDS[kinds[0]]}, came no such column; {mend}"
    twins = [name for name in alike if name != column]
    if twins:
        return (
            f"{column}: expected a name of its own, came {twins[0]!r} too, which differs by case "
            "alone; rename one in source.query"
        )
    found = schema.field(column).type
    for kind in kinds:
        if not holds(kind, found):
            return f"{column}: expected {WORDS[kind]}, came {found}; {_mend(column, kind, found)}"
    return ""


def _mend(column: str, kind: Kind, found: pa.DataType) -> str:
    """Say what to do about a type. What holds several values cannot be cast to one."""
    if pa.types.is_struct(found) and found.num_fields:
        return f"take one of its fields in source.query: {quoted(column)}.{quoted(found[0].name)}"
    if pa.types.is_nested(found):
        return f"take one of its values in source.query: {quoted(column)}[1]"
    cast = f"cast it in source.query: {quoted(column)}::{_CASTS[kind]}"
    if kind == "time" and _is_text(found):
        cast += f", or strptime({quoted(column)}, '%d/%m/%Y') for text such as 31/12/2026"
    return cast


def _is_number(column: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(column) for test in tests)


def _is_text(column: pa.DataType) -> bool:
    plain = column.value_type if pa.types.is_dictionary(column) else column
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(plain) for test in tests)


def _is_label(column: pa.DataType) -> bool:
    plain = column.value_type if pa.types.is_dictionary(column) else column
    return _is_text(plain) or pa.types.is_integer(plain) or pa.types.is_boolean(plain)


def _is_time(column: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(column) or pa.types.is_date(column))


_TESTS: dict[Kind, Callable[[pa.DataType], bool]] = {
    "number": _is_number,
    "text": _is_text,
    "label": _is_label,
    "time": _is_time,
    "any": lambda _: True,
}
