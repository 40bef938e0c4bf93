"""The versions that a candidate has already: one that serves again, and what a killed run left.

A version serves again as long as the candidate is compared with the same champion: it keeps the
verdict and the card of that comparison. Where the champion has moved, the candidate is registered
once more, with what it was judged by then.
"""

import time
from typing import TYPE_CHECKING

from data_contracts.contract import Contract
from tasks import registry
from tasks.models.removing import remove
from tasks.records import Verdict
from tasks.registry import Version
from tasks.storage import root_storage

if TYPE_CHECKING:
    from mlflow import MlflowClient

ABANDONED = 6 * 3600.0
"""Seconds after which an incomplete version of another machine's is taken for a dead run's."""


def earlier(contract: Contract, verdict: Verdict, client: "MlflowClient") -> Version | None:
    """Return the candidate's complete version that serves for a verdict, None where there is none.

    Incomplete ones of dead runs are removed. One made as of a day and one that is published are
    never the same, though the candidate may be: where no row was left out.
    """
    model, hash_ = contract.registered_model, verdict.scores.candidate.hash
    champion = registry.champion(model)
    serving = None
    wanted = f"name = '{model}' AND tags.`{registry.CANDIDATE_TAG}` = '{hash_}'"
    for found in list(registry.versions(client, wanted)):
        if found.tags.get(registry.AS_OF_TAG) != verdict.scores.as_of:
            continue
        if found.tags.get(registry.COMPLETE_TAG) != "true":
            _remove(found, client)
        elif champion is not None and found.version == champion.version:
            return found
        elif serving is None and _serves(found, verdict):
            serving = found
    return serving


def opponent_tag(verdict: Verdict) -> str:
    """Return the number of the version that a candidate was compared with, nothing where none was.

    After a new start the next comparison is not with the champion that it put aside.
    """
    return "" if verdict.rebaseline else verdict.scores.champion or ""


def _serves(found: Version, verdict: Verdict) -> bool:
    """A version that a person has put back stays what the candidate is known by; one that failed
    its proof is made again."""
    if registry.HELD_TAG in found.tags:
        return False
    if verdict.scores.as_of is not None or registry.ROLLED_BACK_TAG in found.tags:
        return True
    return found.tags.get(registry.OPPONENT_TAG) == opponent_tag(verdict)


def _remove(found: Version, client: "MlflowClient") -> None:
    """Remove an incomplete version, unless another machine may be at it: on a folder, a dataset's
    retrains take turns, so that whoever made it has ended."""
    made = client.get_model_version(found.model, found.version).creation_timestamp / 1000
    if root_storage().local or time.time() - made > ABANDONED:
        remove(client, found.model, found.version)
