"""The words of a breach: what was expected, what came, on how many rows, and what to do.

In: Outcomes that do not hold. Out: sentences.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.database import columns, connect, literal
from tasks.records import Reason
from tasks.spans import unit
from tasks.validate.engine import Outcome
from tasks.validate.quarantine import key_text
from tasks.wording import rows_of

KEYS_NAMED = 3
"""How many duplicate keys a breach names."""


def table_breaches(
    contract: Contract,
    outcomes: Sequence[Outcome],
    rows: int,
    file: Path,
    severity: Literal["stop", "warn"] = "stop",
) -> list[str]:
    """Return a sentence for each outcome of a severity that does not hold; with "stop" also for
    each check of any kind that could not be made. Presence is left to the schema part.
    """
    empty = {o.check.subject for o in outcomes if _is_all_missing(o)}
    found = []
    for outcome in outcomes:
        check = outcome.check
        if outcome.success or check.expectation == "ExpectColumnToExist":
            continue
        if outcome.error and severity == "stop":
            came = f"no answer: {outcome.error}"
            found.append(f"{check.subject}: expected {check.expected}, came {came}")
        elif (
            not outcome.error
            and check.severity == severity
            and (check.subject not in empty or _is_all_missing(outcome))
        ):
            came = _came(contract, outcome, rows, file)
            mend = f"; {check.mend}" if check.mend else ""
            found.append(f"{check.subject}: expected {check.expected}, came {came}{mend}")
    return list(dict.fromkeys(found))


def tolerance_breach(
    contract: Contract, quarantined: int, rows: int, reasons: Sequence[Reason], whole: bool
) -> list[str]:
    """Return the sentence on too large a quarantine, or none."""
    tolerance = contract.expectations.tolerance
    if quarantined <= tolerance * rows:
        return []
    biggest = "; ".join(f"{r.expectation} ({r.rows:,})" for r in reasons[:3])
    least = "" if whole else "at least "
    return [
        f"{least}{quarantined:,} of {rows_of(rows)} ({share(quarantined, rows)}) broke row "
        f"expectations, more than the tolerance of {tolerance * 100:.4g}%: {biggest}; mend the "
        "source or source.query, or widen the bounds where the values are right"
    ]


def share(part: int, whole: int) -> str:
    """Return a share as a percentage that is never rounded to nothing."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.2g}%" if percent < 1 else f"{percent:.1f}%".replace(".0%", "%")


def _is_all_missing(outcome: Outcome) -> bool:
    return outcome.check.expected == "not all missing" and not outcome.success


def _came(contract: Contract, outcome: Outcome, rows: int, file: Path) -> str:
    match outcome.check.expectation:
        case "ExpectTableRowCountToBeBetween":
            return f"{rows:,}"
        case "ExpectColumnProportionOfNonNullValuesToBeBetween":
            missing = rows - round(float(outcome.observed or 0) * rows)
            return f"{share(missing, rows)} missing ({missing:,} of {rows_of(rows)})"
        case "ExpectColumnValuesToNotBeNull":
            return f"{outcome.unexpected:,} missing in {rows_of(rows)}"
        case "ExpectColumnMeanToBeBetween" | "ExpectColumnStdevToBeBetween":
            return f"{_mean(contract, outcome)} over {rows_of(rows)}"
        case "ExpectColumnMaxToBeBetween" if outcome.check.columns:
            return f"one value in all of {rows:,} rows"
        case "ExpectColumnMaxToBeBetween":
            return f"false over {rows_of(rows)}"
        case "ExpectColumnValuesToBeUnique" | "ExpectCompoundColumnsToBeUnique":
            return _duplicates(outcome, file)
        case _:
            broken = f"{outcome.unexpected:,} of {rows:,} rows that break it"
            return f"{broken}{_first(contract, outcome, file)}"


def _first(contract: Contract, outcome: Outcome, file: Path) -> str:
    """Return the key of the first row that breaks an expectation, in words."""
    there = pq.read_schema(file).names
    names = [c for c in contract.key if c in there]
    if outcome.first is None or not names:
        return ""
    texts = ", ".join(f"{columns([c])}::VARCHAR" for c in names)
    query = f"SELECT {texts} FROM read_parquet({literal(str(file))}) WHERE _row = {outcome.first}"
    with connect([file]) as database:
        (values,) = database.execute(query).fetchall()
    return f", first at {key_text(contract, dict(zip(names, values, strict=True)))}"


def _mean(contract: Contract, outcome: Outcome) -> str:
    if outcome.observed is None:
        return "no finite value"
    return f"{float(outcome.observed):,.6g} {unit(contract, outcome.check.subject)}".rstrip()


def _duplicates(outcome: Outcome, file: Path) -> str:
    names = outcome.check.columns
    key = columns(names)
    texts = ", ".join(f"{columns([c])}::VARCHAR" for c in names)
    query = (
        f"SELECT {texts}, count(*) FROM read_parquet({literal(str(file))}) "
        f"GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT {KEYS_NAMED}"
    )
    with connect([file]) as database:
        found = database.execute(query).fetchall()
    named = []
    for *values, times in found:
        pairs = zip(names, values, strict=True)
        named.append(f"{', '.join(f'{c}={v}' for c, v in pairs)} ({times} times)")
    return f"{outcome.unexpected:,} rows that share keys, among them {'; '.join(named)}"
