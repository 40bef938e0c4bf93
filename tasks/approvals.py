"""Approvals: what people decided of candidates that wait for them.

In: a contract, a Verdict whose outcome may be "needs approval". Out: the Verdict as it stands
once somebody has decided: pass or fail, with who decided, when and why. A candidate that was
champion and that somebody has rolled back is rejected, until somebody promotes it.

A decision is a small record of its own in storage, named for its verdict and written once. It
holds for that verdict alone: a candidate that is judged again, since the champion has moved, waits
for another one. A settled verdict has a hash of its own, so that publishing is done anew for it.
"""

from pathlib import Path

from data_contracts.contract import Contract
from tasks import registry
from tasks.records import Approval, Outcome, Verdict
from tasks.rollbacks import taken_back
from tasks.stage import Stage
from tasks.storage import canonical, digest, root_storage


def decision(contract: Contract, verdict: Verdict) -> Approval | None:
    """Return what was decided of a verdict, or None."""
    manifest = root_storage().manifest(_place(contract, verdict))
    return None if manifest is None else Approval.model_validate(manifest["record"])


def decide(contract: Contract, verdict: Verdict, approval: Approval) -> Approval:
    """Keep a decision for ever, and return it; where there is one already, return that."""
    if (found := decision(contract, verdict)) is not None:
        return found
    place = _place(contract, verdict)
    kept = approval.model_copy(update={"place": place})
    with root_storage().write(place) as work:
        (work.folder / "approval.json").write_bytes(canonical(_content(approval)))
        work.record = kept.model_dump(mode="json")
    return kept


def rejected(contract: Contract, verdict: Verdict) -> bool:
    """Say whether somebody has rejected the candidate of a verdict."""
    found = decision(contract, verdict)
    return found is not None and found.decision == "rejected"


def settle(contract: Contract, verdict: Verdict) -> Verdict:
    """Return the verdict with what was decided of it, pass or fail; as it is where nothing was.

    A candidate that is the champion already waits for nobody: nothing would be published.
    """
    standing = _standing(contract, verdict)
    if standing is None:
        return verdict
    outcome, approval = standing

    def write(folder: Path) -> Verdict:
        own = {"outcome": outcome, "approval": approval, "place": "", "hash": ""}
        settled = verdict.model_copy(update=own)
        content = settled.model_dump_json(indent=1, exclude={"scores"})
        (folder / "verdict.json").write_text(content, "utf-8")
        return settled

    return STAGE.run(contract, *_inputs(verdict, *standing), work=write)


def find(contract: Contract, verdict: Verdict) -> Verdict | None:
    """Return the verdict as it stands; None where it was decided of and is not settled yet."""
    standing = _standing(contract, verdict)
    return verdict if standing is None else STAGE.find(contract, *_inputs(verdict, *standing))


def _standing(contract: Contract, verdict: Verdict) -> tuple[Outcome, Approval | None] | None:
    """Return the outcome that stands in place of the verdict's, and the decision; None where the
    verdict's own does."""
    if verdict.outcome not in ("pass", "needs approval"):
        return None
    if (taken := _taken_back(contract, verdict)) is not None:
        return "fail", taken
    if verdict.outcome == "pass":
        return None
    if (approval := decision(contract, verdict)) is not None:
        return "pass" if approval.decision == "approved" else "fail", approval
    return ("pass", None) if _is_champion(contract, verdict) else None


def _is_champion(contract: Contract, verdict: Verdict) -> bool:
    if verdict.scores.as_of is not None:
        return False
    current = registry.champion(contract.registered_model)
    candidate = verdict.scores.candidate.hash
    return current is not None and current.tags.get(registry.CANDIDATE_TAG) == candidate


def _taken_back(contract: Contract, verdict: Verdict) -> Approval | None:
    if verdict.scores.as_of is not None:
        return None
    return taken_back(contract.registered_model, verdict.scores.candidate.hash)


def _place(contract: Contract, verdict: Verdict) -> str:
    return f"approvals/{contract.dataset}/{verdict.hash[:16]}"


def _inputs(verdict: Verdict, outcome: Outcome, approval: Approval | None) -> tuple[str, str]:
    return verdict.hash, digest([outcome, _content(approval) if approval else None])


def _content(approval: Approval) -> dict[str, str]:
    return approval.model_dump(mode="json", exclude={"place", "hash"})


STAGE = Stage("approval", "verdicts", Verdict, __name__, lambda _contract: None)
