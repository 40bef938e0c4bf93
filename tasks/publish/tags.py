"""The tags of a registered version: what it was made of, how far its data reach, who approved."""

from data_contracts.contract import Contract
from tasks import registry
from tasks.database import last_time
from tasks.publish.earlier import opponent_tag
from tasks.records import Verdict
from tasks.storage import Storage

LONGEST = 1000
"""The most characters of a reason that a tag holds; `verdict.json` has it whole."""


def version_tags(contract: Contract, verdict: Verdict, storage: Storage) -> dict[str, str]:
    """Return the tags of the version that a verdict lets pass, without that of completeness."""
    candidate = verdict.scores.candidate
    tags = {
        registry.CANDIDATE_TAG: candidate.hash,
        registry.OPPONENT_TAG: opponent_tag(verdict),
        registry.VERDICT_TAG: verdict.hash,
        registry.DATASET_TAG: contract.dataset,
        **decision_tags(verdict),
    }
    if verdict.scores.as_of is not None:
        tags[registry.AS_OF_TAG] = verdict.scores.as_of
    if contract.time is not None:
        rows = storage.fetch(candidate.shards.checked.snapshot.place) / "rows.parquet"
        tags[registry.UNTIL_TAG] = last_time(rows, contract.time) or ""
    return tags


def decision_tags(verdict: Verdict) -> dict[str, str]:
    """Return the tags that say how a verdict came about: the outcome, and what people asked for."""
    tags = {registry.OUTCOME_TAG: str(verdict.outcome)}
    if verdict.rebaseline:
        tags[registry.REBASELINE_TAG] = verdict.rebaseline[:LONGEST]
    if (approval := verdict.approval) is not None:
        tags[f"polycast.{approval.decision}_by"] = approval.by[:LONGEST]
        if approval.reason:
            tags["polycast.approval_reason"] = approval.reason[:LONGEST]
    return tags
