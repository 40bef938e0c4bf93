"""Train a version again from what it records, publish nothing, and say whether it is the same.

In: a contract and a version's number. Out: a Reproduction. Rows come from the recorded snapshot
and quarantine, everything else from the contract that the version keeps; what is made goes into a
folder of its own, which is removed.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from data_contracts.contract import Contract
from tasks import registry
from tasks.errors import DataError
from tasks.models.comparing import Change
from tasks.models.entries import Entry, entry
from tasks.models.packages import package_changes
from tasks.models.weights import Sameness, sameness
from tasks.preprocess import write_shards
from tasks.records import Checked, Verdict
from tasks.start import began_with
from tasks.storage import root_storage
from tasks.train import train_candidate


@dataclass(frozen=True)
class Reproduction:
    """A version that was trained again."""

    entry: Entry
    members: tuple[Sameness, ...]
    packages: tuple[Change, ...] | None
    """What differs from the environment that it was made in; None where none was recorded."""
    device: tuple[str, str]
    """The device that it was trained on, and the one of now."""
    seconds: float
    """How long training took this time."""

    @property
    def identical(self) -> bool:
        """Say whether all weights are the same bits."""
        return all(member.identical for member in self.members)


def reproduce(contract: Contract, number: str) -> Reproduction:
    """Train a version again and compare.

    Raises WrongRequest where there is no such version, DataError where what it was made from is
    gone.
    """
    found = entry(contract, number)
    own, verdict = _recorded(found)
    own = began_with(own, verdict.scores.candidate.start)
    checked = verdict.scores.candidate.shards.checked
    rows, quarantine = _rows(found, checked)
    from tasks.learning.bundle import load_bundle

    with tempfile.TemporaryDirectory(prefix="polycast-reproduce-") as temporary:
        data, made = Path(temporary) / "shards", Path(temporary) / "candidate"
        data.mkdir()
        made.mkdir()
        shards = write_shards(own, checked, rows, quarantine, data)
        candidate = train_candidate(own, shards, data, made)
        first = load_bundle(registry.bundle_folder(found.model, found.version))
        members = sameness(first, load_bundle(made / registry.BUNDLE))
    packages = package_changes(found)
    return Reproduction(
        entry=found,
        members=tuple(members),
        packages=None if packages is None else tuple(packages),
        device=(verdict.scores.candidate.device, candidate.device),
        seconds=candidate.train_seconds,
    )


def _recorded(found: Entry) -> tuple[Contract, Verdict]:
    if found.contract is None or found.verdict is None:
        gone = "contract" if found.contract is None else "verdict"
        raise DataError(
            f"{found.model} version {found.version} keeps no {gone} that this version of Polycast "
            "can read, so that it cannot be trained again"
        )
    return found.contract, found.verdict


def _rows(found: Entry, checked: Checked) -> tuple[Path, Path]:
    """Return the files of the rows and of those set aside. Raises DataError where one is gone."""
    storage, snapshot = root_storage(), checked.snapshot
    for what, record in (("snapshot", snapshot), ("quarantine", checked)):
        manifest = storage.manifest(record.place)
        if manifest is None or manifest["record"]["hash"] != record.hash:
            raise DataError(
                f"version {found.version} was made from {snapshot.rows:,} rows whose {what} is "
                f"not there any more: expected {storage.root}/{record.place} with the hash "
                f"{record.hash[:16]}. Put it back, or set POLYCAST_HOME to the storage root that "
                f"has it. The source had the SHA-256 {snapshot.source}"
            )
    rows = storage.fetch(snapshot.place) / "rows.parquet"
    return rows, storage.fetch(checked.place) / "quarantine.parquet"
