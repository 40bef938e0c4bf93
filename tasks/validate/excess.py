"""How far a row breaks a linear relation, as SQL.

In: what a constraint says. Out: an expression over the rows' columns, in double precision.
"""

from data_contracts.constraints import RELATIVE, ROUNDING, Linear
from tasks.database import quoted


def excess_sql(linear: Linear, tolerance: float | None) -> str:
    """Return SQL for how far a row breaks the relation beyond its tolerance: more than 0 where
    it does, NULL where one of its columns is missing."""
    terms = [f"{_number(v)} * CAST({quoted(c)} AS DOUBLE)" for c, v in linear.coefficients.items()]
    if linear.constant:
        terms.append(_number(linear.constant))
    total, size = " + ".join(terms), " + ".join(f"abs({t})" for t in terms)
    off = f"abs({total})" if linear.equal else f"({total})"
    slack = f"{_number(RELATIVE)} * ({size})"
    if tolerance is not None:
        slack = f"greatest({_number(tolerance)}, {_number(ROUNDING)} * ({size}))"
    return f"{off} - {slack}"


def _number(value: float) -> str:
    """Return a number that DuckDB reads as the same double, not as a decimal."""
    return f"'{value!r}'::DOUBLE"
