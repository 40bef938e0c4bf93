"""Hold a snapshot's rows against their contract, by the contract alone.

In: a contract, a Snapshot and its Parquet file (rows in order of the key, numbered from 0 in
`_row`). Out: Checked, with `quarantine.parquet`, `validation.json` and `data_docs/index.html`.
A breach is returned, never raised; what cannot be checked is a breach.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.contract import Contract
from tasks.records import Checked, Snapshot
from tasks.releases import Offence
from tasks.validate.breaches import table_breaches, tolerance_breach
from tasks.validate.conditions import newest, sql_faults
from tasks.validate.docs import write_docs
from tasks.validate.engine import SHOWN, Outcome, outcomes, quiet, run, trim
from tasks.validate.passage import let_through
from tasks.validate.quarantine import reasons_of, write_quarantine
from tasks.validate.schema import schema_faults
from tasks.validate.suite import suite

LEAST_NAMED = 100_000
"""At least this many bad rows of an expectation go to quarantine, however low the tolerance."""


def check_rows(
    contract: Contract,
    snapshot: Snapshot,
    rows: Path,
    folder: Path,
    last: int | None = None,
    released: frozenset[Offence] = frozenset(),
) -> Checked:
    """Check the rows in the file `rows`, write what was found into `folder`, return its record.

    `last` is how many rows the last snapshot had that kept the contract, None where there is none.
    `released` is what bad rows have been let through with.

    Where an expectation alone is broken by more rows than the tolerance lets through, and by
    more than LEAST_NAMED, the first of them are set aside; the breach says so.
    """
    schema, count = pq.read_schema(rows), snapshot.rows
    faults = schema_faults(contract, schema)
    conditions = {} if faults else sql_faults(contract, rows)
    checks = [
        c
        for c in suite(contract, schema, count, faults, last)
        if c.subject not in conditions and not (faults and c.derived and not c.columns)
    ]
    most = max(LEAST_NAMED, int(contract.expectations.tolerance * count) + 1)
    with quiet():
        result = run(checks, rows, schema, most)
        found = [_with_fault(o, faults) for o in outcomes(checks, result)]
        bad = {row for o in found for row in o.rows}
        found = let_through(contract, found, rows, released)
        file = folder / "quarantine.parquet"
        quarantined = write_quarantine(found, rows, file)
        reasons = reasons_of(contract, found, file)
        whole = all(o.unexpected <= most for o in found if o.rows)
        checked = Checked(
            snapshot=snapshot,
            rows=count - quarantined,
            quarantined=quarantined,
            released=len(bad) - quarantined,
            reasons=tuple(reasons),
            expectations=len(checks),
            breaches=(
                *faults.values(),
                *conditions.values(),
                *table_breaches(contract, found, count, rows),
                *tolerance_breach(contract, quarantined, count, reasons, whole),
            ),
            warnings=tuple(table_breaches(contract, found, count, rows, "warn")),
            newest=newest(contract, rows) if count and not faults else None,
        )
        trim(result)
        _write_json(contract, checked, found, result, folder / "validation.json")
        write_docs(contract, checked, found, result, folder / "data_docs")
    return checked


def _with_fault(outcome: Outcome, faults: dict[str, str]) -> Outcome:
    """Count a column of the wrong type as not present as the contract needs it."""
    if outcome.check.expectation != "ExpectColumnToExist":
        return outcome
    return replace(outcome, success=outcome.check.subject not in faults)


def _write_json(
    contract: Contract, checked: Checked, found: Sequence[Outcome], result: Any, file: Path
) -> None:
    """Write what was found as plain JSON, the expectations in the suite's order."""
    examples = {r.expectation: r.examples for r in checked.reasons}
    samples = {r.expectation_config.meta["check"]: r for r in result.results}
    content = {
        "dataset": contract.dataset,
        "success": not checked.breaches,
        "rows": checked.snapshot.rows,
        "quarantined": checked.quarantined,
        "tolerance": contract.expectations.tolerance,
        "breaches": checked.breaches,
        "warnings": checked.warnings,
        "expectations": [
            {
                "words": o.check.words,
                "severity": o.check.severity,
                "success": o.success,
                "expectation": o.check.expectation,
                "options": o.check.options,
                "unexpected": o.unexpected,
                "released": o.released,
                "missing": o.missing,
                "observed": o.observed,
                "examples": examples.get(o.check.words) if o.rows else _sample(samples[i].result),
                "error": o.error,
            }
            for i, o in enumerate(found)
        ],
    }
    text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text, "utf-8")


def _sample(result: dict[str, Any]) -> list[str]:
    return [str(value) for value in result.get("partial_unexpected_list", [])[:SHOWN]]


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: infinity becomes text."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)
