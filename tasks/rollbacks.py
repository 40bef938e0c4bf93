"""What a person took back: a tag of the version that was champion, held against its candidate.

The tag is JSON of who, when and why. As long as it is there, no retrain publishes the candidate
again. `polycast promote` removes it.
"""

import json
from datetime import UTC, datetime

from tasks import registry
from tasks.records import Approval
from tasks.registry import Version

LONGEST = 1000
"""The most characters of a reason that the tag holds; the journal has it whole."""


def rollback_tag(by: str, reason: str) -> str:
    """Return the tag's value for a version that is taken back now."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"by": by, "when": when, "reason": reason[:LONGEST]}, ensure_ascii=False)


def rollback_of(version: Version) -> Approval | None:
    """Return who took a version back, when and why, as a rejection; None where nobody did."""
    tag = version.tags.get(registry.ROLLED_BACK_TAG)
    if tag is None:
        return None
    try:
        found = json.loads(tag)
        said = {name: str(found[name]) for name in ("by", "when", "reason")}
    except (ValueError, KeyError, TypeError):  # written by hand
        said = {"by": "unknown", "when": "", "reason": tag}
    return Approval(decision="rejected", **said)


def taken_back(model: str, candidate: str) -> Approval | None:
    """Return the rejection of a candidate, named by its hash, that was rolled back.

    None where it was not, where it is champion, and where there is no champion.
    """
    current = registry.champion(model)
    if current is None or current.tags.get(registry.CANDIDATE_TAG) == candidate:
        return None
    wanted = f"name = '{model}' AND tags.`{registry.CANDIDATE_TAG}` = '{candidate}'"
    for version in registry.versions(registry.client(), wanted):
        if (found := rollback_of(version)) is not None:
            why = f"version {version.version} was rolled back: {found.reason}"
            return found.model_copy(update={"reason": why})
    return None
