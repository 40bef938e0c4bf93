"""A warm start: training begins with the weights of a published version.

In: a contract with `training.start`, a version's number. Out: that version's weights. Raises
Unsuitable where they cannot be begun with.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Contract
from tasks import registry
from tasks.learning.errors import Unsuitable
from tasks.learning.news import told_by
from tasks.seen import key_hashes, read_seen, seen_key
from tasks.split_rows import split_rows

if TYPE_CHECKING:
    from tasks.learning.bundle import Member

SCRATCH = "scratch"
log = logging.getLogger("polycast")


def starting_weights(contract: Contract, rows: Path, splits: Path) -> list[NDArray[Any]] | None:
    """Return the weights to begin with, None from scratch.

    `rows` and `splits` are the files of the raw rows and of their splits. Raises Unsuitable where
    the version is not there, is another architecture, or has seen rows that are to be tested on.
    """
    start = contract.training.start
    if start == SCRATCH:
        return None
    if not registry.exists(contract.registered_model, start):
        raise _refused(start, "there is no such version")
    member = _only_member(contract, start)
    if (count := _seen(contract, start, rows, splits)) != 0:
        which = (
            "cannot be asked what it has seen"
            if count is None
            else (f"has seen {count:,} of the rows that the candidate would be tested on")
        )
        raise _refused(start, f"it {which}")
    log.info("begins with the weights of version %s", start, extra=told_by("train"))
    return [np.asarray(w) for w in member.network.get_weights()]


def _only_member(contract: Contract, start: str) -> "Member":
    from tasks.learning.bundle import load_bundle

    members = load_bundle(registry.bundle_folder(contract.registered_model, start)).members
    if len(members) > 1:
        raise _refused(start, f"it is {len(members)} networks together")
    was, now = members[0].architecture, contract.recipe.architecture
    if was != now:
        raise _refused(start, f"its architecture is {was}, the contract's {now}")
    return members[0]


def _seen(contract: Contract, start: str, rows: Path, splits: Path) -> int | None:
    """Return how many test rows a version has seen, None where it does not say."""
    file = registry.seen_file(contract.registered_model, start)
    if file is None:
        return None
    seen, key = read_seen(file), seen_key(file)
    asking = contract.model_copy(update={"key": key})
    blocks = split_rows(rows, splits, [0], ["test"], key)
    return sum(int(np.isin(key_hashes(asking, block), seen).sum()) for block in blocks)


def _refused(start: str, why: str) -> Unsuitable:
    return Unsuitable(
        f"training.start: cannot begin with version {start}: {why}. Set training.start to scratch"
    )
