"""Limits of a column: in words, and as they are in the column's own type."""

import numpy as np
import pyarrow as pa

from data_contracts.contract import Contract


def span(least: float | None, most: float | None, unit: str = "") -> str:
    """Return limits in words, of which one may be absent: `between 0 and 200 mph`."""
    low, high = (None if v is None else f"{v:,.12g}" for v in (least, most))
    if low is None or high is None:
        text = f"at most {high}" if low is None else f"{low} or more"
    else:
        text = f"between {low} and {high}"
    return f"{text} {unit}".rstrip()


def as_stored(
    schema: pa.Schema, column: str, least: float | None, most: float | None
) -> tuple[float | None, float | None]:
    """Widen limits to the next 32-bit number in such a column: 0.1 as such is a little more than
    0.1."""
    if not is_float(schema, column, 32):
        return least, most
    low = None if least is None else min(least, float(np.float32(least)))
    return low, None if most is None else max(most, float(np.float32(most)))


def is_float(schema: pa.Schema, column: str, most_bits: int = 64) -> bool:
    """Say whether a column is there, and of floats of that many bits at most."""
    place = schema.get_field_index(column)
    if place < 0:
        return False
    found = schema.field(place).type
    return bool(pa.types.is_floating(found) and found.bit_width <= most_bits)


def unit(contract: Contract, column: str) -> str:
    """Return the unit that the contract gives a column, or an empty string."""
    measured = contract.target_columns.get(column) or contract.feature_columns.get(column)
    return str(getattr(measured, "unit", ""))
