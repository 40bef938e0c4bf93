"""Validate: hold the snapshot against its contract; set bad rows aside, stop at a breach.

In: a contract and a Snapshot. Out: Checked, with `quarantine.parquet`, `validation.json` and
`data_docs/`. Bad rows that somebody has released go on. Raises Breach with the broken
expectations, after their artifact is written.
"""

import logging
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from data_contracts.expectations import Volume
from tasks.errors import Breach
from tasks.learning.news import told_by
from tasks.orchestration import markdown, stage_task
from tasks.records import Checked, Snapshot
from tasks.releases import Offence, offences, releases
from tasks.stage import Stage
from tasks.storage import digest, root_storage
from tasks.validate.conditions import stale
from tasks.wording import rows_of

log = logging.getLogger("polycast")


def _reads(contract: Contract) -> Any:
    features = {
        c: f.model_dump(mode="json", include={"kind", "bounds", "unit"})
        for c, f in contract.feature_columns.items()
    }
    targets = {c: [t.bounds, t.unit] for c, t in contract.target_columns.items()}
    sections = contract.model_dump(
        mode="json", include={"key", "time", "constraints", "row_weight", "expectations"}
    )
    return [features, targets, contract.present_columns, contract.columns(), sections]


STAGE = Stage("validate", "validations", Checked, __name__, _reads)


def find(contract: Contract, snapshot: Snapshot) -> Checked | None:
    """Return the finished check of a snapshot, or None. Raises Breach where it found one."""
    return accept(contract, done(contract, snapshot))


def done(contract: Contract, snapshot: Snapshot) -> Checked | None:
    """Return the finished check of a snapshot, whatever it found, or None."""
    return STAGE.find(contract, *_inputs(snapshot, _released(contract)))


def _released(contract: Contract) -> frozenset[Offence]:
    return offences(releases(contract.dataset))


def _inputs(snapshot: Snapshot, released: frozenset[Offence]) -> list[str]:
    return [snapshot.hash, *([digest(sorted(released))] if released else [])]


def accept(contract: Contract, checked: Checked | None) -> Checked | None:
    """Return what was checked. Raises Breach where it breaks the contract, or has become too old
    meanwhile."""
    if checked is None:
        return None
    found = breaches_of(contract, checked)
    if found:
        raise Breach(found, root_storage().address(checked.place, "data_docs/index.html"))
    return checked


def breaches_of(contract: Contract, checked: Checked) -> tuple[str, ...]:
    """Return what does not hold and stops the run, in words; of rows' age as it is now."""
    old = (words for severity, words in stale(contract, checked) if severity == "stop")
    return (*checked.breaches, *old)


def warnings_of(contract: Contract, checked: Checked) -> list[str]:
    """Return what does not hold and stops nothing, in words; of rows' age as it is now."""
    old = [words for severity, words in stale(contract, checked) if severity == "warn"]
    return [*checked.warnings, *old]


def last_rows(contract: Contract, snapshot: Snapshot) -> int | None:
    """Return how many rows the last other snapshot had that kept the contract, where the contract
    asks for it; None where there is none."""
    if not any(isinstance(c, Volume) for c in contract.expectations.table):
        return None
    for _, checked in validations(contract.dataset):
        if not checked.breaches and checked.snapshot != snapshot:
            return checked.snapshot.rows
    return None


def validations(dataset: str) -> list[tuple[str, Checked]]:
    """Return a dataset's finished checks, each with when it was done, newest first."""
    storage, found = root_storage(), []
    for place in storage.places(f"validations/{dataset}"):
        checked, manifest = STAGE.read(place), storage.manifest(place)
        if checked and manifest:
            found.append((str(manifest["written"]), checked))
    return sorted(found, key=lambda one: one[0], reverse=True)


def summary_markdown(contract: Contract, checked: Checked, docs: str) -> str:
    """Return what validation found as Markdown."""
    broken = breaches_of(contract, checked)
    state = "breaks its contract" if broken else "keeps its contract"
    lines = [
        f"# {contract.dataset} {state}",
        "",
        f"{checked.expectations:,} expectations on {rows_of(checked.snapshot.rows)}; "
        f"{checked.counted}, {checked.rows:,} go on.",
        "",
        *(f"- **stop**: {breach}" for breach in broken),
        *(f"- **warn**: {warning}" for warning in warnings_of(contract, checked)),
        *(
            f"- quarantined {rows_of(r.rows)}: {r.expectation} ({'; '.join(r.examples)})"
            for r in checked.reasons
        ),
        "",
        f"Data docs: `{docs}`",
    ]
    return "\n".join(lines)


def checked_rows(contract: Contract, snapshot: Snapshot) -> Checked:
    """Check a snapshot, or return what was found of it; whatever it is."""
    storage, released = root_storage(), _released(contract)

    def work(folder: Path) -> Checked:
        from tasks.validate.checking import check_rows

        rows, last = storage.fetch(snapshot.place) / "rows.parquet", last_rows(contract, snapshot)
        return check_rows(contract, snapshot, rows, folder, last, released)

    return STAGE.run(contract, *_inputs(snapshot, released), work=work)


@stage_task
def validate(contract: Contract, snapshot: Snapshot) -> Checked:
    """Check a snapshot and show what was found."""
    checked = checked_rows(contract, snapshot)
    docs = root_storage().address(checked.place, "data_docs/index.html")
    markdown(
        contract.dataset, "validation", summary_markdown(contract, checked, docs), checked.summary
    )
    accept(contract, checked)
    for warning in warnings_of(contract, checked):
        log.warning(warning, extra=told_by(STAGE.name))
    return checked
