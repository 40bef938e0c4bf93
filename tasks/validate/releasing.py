"""Release rows of the last quarantine, named by their keys or by what they break.

In: a contract, keys and expectations in words. Out: the Release, kept in storage. Nothing changes
until the next validation, which lets through what is released and judges everything else anew.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from data_contracts.contract import Contract
from data_contracts.section import did_you_mean
from tasks.errors import DataError, WrongRequest
from tasks.learning.listing import some
from tasks.records import Checked
from tasks.releases import Release, keep
from tasks.storage import root_storage
from tasks.validate import validations
from tasks.validate.check import Check
from tasks.validate.passage import offence
from tasks.validate.quarantine import key_text
from tasks.validate.suite import suite


@dataclass(frozen=True)
class Wanted:
    """Which rows to release: those of the keys, of the reasons, of both where both are named."""

    keys: Sequence[str] = ()
    """Keys as the list shows them; of a key of one column, its value alone will do."""
    reasons: Sequence[str] = ()
    """Expectations in words."""


def release(contract: Contract, wanted: Wanted, by: str, why: str) -> Release:
    """Let the wanted rows of the last validation through, from the next one on.

    Raises DataError where nothing is in quarantine or not all of it is there, WrongRequest for a
    key or a reason that is not.
    """
    checked = _last(contract)
    wanted = replace(wanted, keys=[_as_listed(contract, key) for key in wanted.keys])
    _known_reasons(checked, wanted.reasons)
    checks = _checks(contract, checked)
    found = list(_offences(contract, checked, wanted))
    _known_keys(wanted.keys, [key for key, _, _ in found])
    _current(contract, checks, {reason for _, reason, _ in found})
    made = Release(
        by=by,
        when=datetime.now(UTC),
        why=why,
        reasons=dict(Counter(reason for _, reason, _ in found)),
        offences=tuple(offence(contract, checks[reason], cells) for _, reason, cells in found),
    )
    keep(contract.dataset, made)
    return made


def _last(contract: Contract) -> Checked:
    found = validations(contract.dataset)
    if not found or not found[0][1].quarantined:
        state = "its last validation set no row aside" if found else "it has not been validated"
        name = contract.dataset
        raise DataError(f"{name} has nothing in quarantine: {state}; see polycast check {name}")
    return found[0][1]


def _checks(contract: Contract, checked: Checked) -> dict[str, Check]:
    """Return the checks of rows that the contract asks for now, by their words."""
    rows = root_storage().fetch(checked.snapshot.place) / "rows.parquet"
    made = suite(contract, pq.read_schema(rows), checked.snapshot.rows, ())
    return {check.words: check for check in made if check.severity == "quarantine"}


def _offences(
    contract: Contract, checked: Checked, wanted: Wanted
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the key, a reason and the cells of each row that is wanted, for each of its reasons."""
    file = root_storage().fetch(checked.place) / "quarantine.parquet"
    named: Counter[str] = Counter()
    with pq.ParquetFile(file) as source:
        for batch in source.iter_batches():
            for cells in batch.to_pylist():
                named.update(cells["_reasons"])
                key = key_text(contract, cells)
                if wanted.keys and not _is_named(contract, key, wanted.keys):
                    continue
                for reason in cells["_reasons"]:
                    if not wanted.reasons or reason in wanted.reasons:
                        yield key, reason, cells
    _whole(checked, named, wanted.reasons)


def _is_named(contract: Contract, key: str, keys: Sequence[str]) -> bool:
    alone = len(contract.key) == 1 and key.removeprefix(f"{contract.key[0]}=") in keys
    return key in keys or alone


def _as_listed(contract: Contract, key: str) -> str:
    """Return a key with a blank before each column but the first: who types it may leave it out."""
    columns = "|".join(map(re.escape, contract.key))
    return re.sub(rf",\s*(?=(?:{columns})=)", ", ", key)


def _whole(checked: Checked, named: Counter[str], reasons: Sequence[str]) -> None:
    """Raise DataError where an expectation is broken by more rows than were set aside."""
    for reason in checked.reasons:
        if reason.rows > named[reason.expectation] and (
            not reasons or reason.expectation in reasons
        ):
            raise DataError(
                f"{reason.expectation}: {reason.rows:,} rows break it, of which the first "
                f"{named[reason.expectation]:,} were set aside: too many to release one by one. "
                "Widen the bounds, or give the expectation the severity warn"
            )


def _known_reasons(checked: Checked, reasons: Sequence[str]) -> None:
    known = [reason.expectation for reason in checked.reasons]
    for reason in reasons:
        if reason not in known:
            hint = did_you_mean(reason, known) or f"expected one of: {some(known)}"
            raise WrongRequest(f"no row is in quarantine for {reason!r}: {hint}")


def _known_keys(keys: Sequence[str], found: Sequence[str]) -> None:
    values = {f for key in found for f in (key, key.partition("=")[2])}
    missing = [key for key in keys if key not in values]
    if missing:
        raise WrongRequest(
            f"no such row is in quarantine for that: {some(missing)}. Name a row as "
            "`polycast quarantine list` does, such as 'origin=EWR, hour=3'"
        )


def _current(contract: Contract, checks: dict[str, Check], reasons: set[str]) -> None:
    gone = sorted(reasons - checks.keys())
    if gone:
        raise DataError(
            f"the contract has changed since the last validation, and asks no longer for "
            f"{some(gone)}: run polycast check {contract.dataset}, and look again"
        )
