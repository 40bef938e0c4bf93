"""Numbers as a reader wants them: aligned within a row, with true minus signs and no noise."""

import math
from collections.abc import Sequence

MISSING = "—"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def aligned(values: Sequence[float | None], digits: int = 3) -> list[str]:
    """Return numbers of one unit with the same decimals, the least with `digits` digits.

    Rows that reach below 0.0001 or to a million are written with powers of ten.
    """
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    if not sizes:
        return [_missing(v) or "0" for v in values]
    low, high = (math.floor(math.log10(s)) for s in (min(sizes), max(sizes)))
    if low < -4 or high > 5:
        return [_missing(v) or powers(v or 0.0, digits) for v in values]
    decimals = min(5, max(0, digits - 1 - low))
    return [_missing(v) or fixed(v or 0.0, decimals) for v in values]


def fixed(value: float, decimals: int = 3) -> str:
    """Return a number with fixed decimals: -1234.5 is `−1,234.500`."""
    text = f"{value:,.{decimals}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def powers(value: float, digits: int = 3) -> str:
    """Return a number with a power of ten: 2.41e-7 is `2.41 × 10⁻⁷`."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")


def plain(value: float) -> str:
    """Return a number alone, with at most four digits: 3.5 is `3.5`, 12000 is `12,000`."""
    if not math.isfinite(value):
        return MISSING
    if float(value).is_integer() and abs(value) < 1e9:
        return fixed(value, 0)
    if not 1e-4 <= abs(value) < 1e6:
        return powers(value)
    return fixed(value, max(0, 3 - math.floor(math.log10(abs(value))))).rstrip("0").rstrip(".")


def percent(share: float | None, decimals: int = 1, sign: bool = True) -> str:
    """Return a share as percent: 0.0221 is `+2.2 %`, without its plus where `sign` is False."""
    if share is None or not math.isfinite(share):
        return MISSING
    text = fixed(100 * share, decimals)
    plus = "+" if sign and share > 0 and any(d in text for d in "123456789") else ""
    return f"{plus}{text} %"


def probability(p: float | None) -> str:
    """Return a p value: two digits, and `< 0.001` for less than that."""
    if p is None or not math.isfinite(p):
        return MISSING
    return "< 0.001" if p < 0.001 else fixed(p, 3 if p < 0.1 else 2)


def ratio(value: float | None) -> str:
    """Return a number without a unit, such as R² or skill: three decimals, fewer when large."""
    if value is None or not math.isfinite(value):
        return MISSING
    return fixed(value, 3 if abs(value) < 10 else 0)


def duration(seconds: float) -> str:
    """Return seconds as a reader would say them: `0.4 s`, `38 s`, `2 min 5 s`, `1 h 4 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _missing(value: float | None) -> str:
    return MISSING if value is None or not math.isfinite(value) else ""
