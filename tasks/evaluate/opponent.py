"""The version that the candidate is compared with: what it answers, what it has seen, what differs.

A version that cannot be loaded, cannot answer today's rows, or has seen them all is no obstacle:
it has no scores then, and the reason is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks import registry
from tasks.contracts import contract_of
from tasks.errors import WrongRequest
from tasks.evaluate.differences import differences, shared_targets, target_differences
from tasks.evaluate.models import BundleModel, bundle_model
from tasks.evaluate.parts import on_targets
from tasks.evaluate.row_blocks import is_timed
from tasks.learning.predictions import Predictions
from tasks.learning.tables import seconds
from tasks.records import Candidate, Opponent
from tasks.registry import Version
from tasks.seen import key_hashes, read_seen, seen_key

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Memory:
    """What a version has seen, as far as that is known."""

    hashes: NDArray[np.uint64] | None = None
    """The sorted hashes of the keys of all rows that it was made from, by the columns `key`."""
    key: tuple[str, ...] = ()
    until: datetime | None = None
    """The time of the last row that it was made from, where its rows are not known."""

    def fresh(self, contract: Contract, rows: pa.Table) -> Mask:
        """Return which raw rows (n,) it has not seen for sure."""
        if self.hashes is not None:
            asked = key_hashes(contract.model_copy(update={"key": self.key}), rows)
            place = np.searchsorted(self.hashes, asked)
            place[place == self.hashes.size] = 0
            return self.hashes[place] != asked if self.hashes.size else np.ones(len(rows), bool)
        if self.until is not None:
            return seconds(rows, contract.time or "") > self.until.timestamp()
        return np.zeros(len(rows), bool)


@dataclass(frozen=True)
class Rival:
    """The opponent as far as it is known before any test row is read."""

    facts: Opponent
    model: "SharedTargets | None" = None
    """What answers today's rows; None where nothing can."""
    memory: Memory = field(default_factory=Memory)
    note: str = ""
    """Why it has no scores, where it has none."""


@dataclass(frozen=True)
class SharedTargets:
    """A bundle's answers for the targets that can be compared; none for the others."""

    model: BundleModel
    shared: tuple[str, ...]

    def __call__(self, rows: pa.Table) -> Predictions:
        """Return predictions, NaN for targets that are not shared."""
        return on_targets(on_targets(self.model(rows), self.shared), self.model.targets)

    @property
    def draws(self) -> int:
        """How many samples of a row it answers with."""
        return self.model.draws


def meet(contract: Contract, version: Version, probe: pa.Table) -> Rival:
    """Return a registered version as a rival; `probe` are some raw test rows to try it on."""
    name, number = contract.registered_model, version.version
    old = _contract(name, number)
    memory = _memory(contract, version, probe)
    facts = Opponent(
        version=number,
        trained=registry.registered(name, number),
        split_known=memory.hashes is not None,
        differences=() if old is None else differences(old, contract),
    )
    try:
        model = bundle_model(registry.bundle_folder(name, number), list(contract.target_columns))
    except ValueError as error:  # of another version of Polycast, or of a package that is gone
        return Rival(facts, note=f"version {number} cannot be loaded: {error}")
    units = _units(model)
    if old is None:
        facts = facts.model_copy(update={"differences": tuple(target_differences(units, contract))})
    shared = shared_targets(units, contract, facts.differences)
    facts = facts.model_copy(update={"shared": shared})
    if not shared:
        parted = "; ".join(d.words for d in facts.differences if d.parts)
        return Rival(facts, note=f"version {number} shares no target with this contract: {parted}")
    try:
        model = model.sampled(probe)
    except ValueError as error:
        facts = facts.model_copy(update={"shared": ()})
        return Rival(facts, note=f"version {number} cannot answer these rows: {error}")
    return Rival(facts, SharedTargets(model, shared), memory)


def as_recipe(
    contract: Contract, met: Rival, candidate: Candidate, again: Candidate | None
) -> Rival:
    """Return a rival under cross-validation: no model, but a recipe that learns from today's rows.

    `again` is that recipe trained on the candidate's folds: the candidate itself where both have
    one recipe. Then, and where it was not trained, there is nothing to compare. It learns in
    today's units, so that nothing but a target's absence keeps it from being compared.
    """
    same = again is not None and again.hash == candidate.hash
    learned = () if again is None or same else again.shards.targets
    shared = tuple(c for c in contract.target_columns if c in learned)
    parting = ("target added", "target removed")
    found = (d.model_copy(update={"parts": d.kind in parting}) for d in met.facts.differences)
    changes = {"shared": shared, "differences": tuple(found), "same_recipe": same}
    both = "both have one recipe, so there is nothing to compare"
    other = f"the recipe of version {met.facts.version} was not trained on these folds"
    note = "" if shared else both if same else other
    return Rival(met.facts.model_copy(update=changes), note=note)


def _contract(model: str, version: str) -> Contract | None:
    """Return a version's contract; None where it has none that can be read today."""
    try:
        return contract_of(model, version)
    except WrongRequest:
        return None


def _memory(contract: Contract, version: Version, probe: pa.Table) -> Memory:
    """Keys that today's rows lack tell nothing: then only the time of its last row does."""
    file = registry.seen_file(contract.registered_model, version.version)
    if file is not None and set(key := seen_key(file)) <= set(probe.column_names):
        return Memory(read_seen(file), key)
    return Memory(until=version.until if is_timed(contract, probe) else None)


def _units(model: BundleModel) -> Mapping[str, str]:
    """Return the unit of each target that a bundle predicts."""
    scalers = model.bundle.members[0].preprocessing.scalers
    return {scaler.column: scaler.unit for scaler in scalers}
