"""Runs whose candidates wait for a person, found by what people call them. Imports no Prefect."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from data_contracts.contract import Contract
from flows.names import how_to_decide
from tasks import approvals, publish
from tasks.contracts import read_contract
from tasks.errors import WrongRequest
from tasks.records import Approval, Run
from tasks.report import STAGE
from tasks.runs import runs
from tasks.storage import root_storage


class NotWaiting(WrongRequest):
    """A run that cannot be decided of: there is none, it does not wait, or somebody has decided."""


def waiting(name: str, decision: Literal["approved", "rejected"]) -> Run:
    """Return the waiting run that a name means.

    name: a run's id as `polycast show` lists it, the id of its flow run, or a dataset, which
    stands for its newest waiting run.
    Raises NotWaiting, unless the same was decided and is not carried out yet.
    """
    run = _by_id(name) or _by_flow_run(name) or newest_waiting(name)
    if run is None:
        raise NotWaiting(_unknown(name))
    if run.outcome != "waiting":
        said = run.publication.summary
        raise NotWaiting(f"run {run.id} does not wait for approval: {run.outcome} ({said})")
    contract = read_contract(run.place)
    found = approvals.decision(contract, run.publication.verdict)
    if found is not None and (found.decision != decision or _carried_out(contract, run)):
        raise NotWaiting(_decided(contract, run, found))
    return run


def undecided(dataset: str) -> Iterator[Run]:
    """Yield a dataset's runs that wait and are not decided of, newest first, one per verdict.

    Those from before the newest champion are left out: it has taken their place.
    """
    seen: set[str] = set()
    for run in runs(dataset):
        if run.outcome == "published" and run.publication.as_of is None:
            return
        verdict = run.publication.verdict
        if run.outcome != "waiting" or verdict.hash in seen:
            continue
        seen.add(verdict.hash)
        if decision_of(run) is None:
            yield run


def decision_of(run: Run) -> Approval | None:
    """Return what was decided of a run that waits or has waited, or None."""
    if run.outcome != "waiting":
        return None
    return approvals.decision(read_contract(run.place), run.publication.verdict)


def newest_waiting(dataset: str) -> Run | None:
    """Return a dataset's newest run that waits and is not decided of, or None."""
    return next(undecided(dataset), None)


def _by_id(name: str) -> Run | None:
    found = (STAGE.read(f"{place}/{name}") for place in _datasets() if "/" not in name)
    return next((run for run in found if run is not None), None)


def _by_flow_run(name: str) -> Run | None:
    """Return the newest run folder that a flow run has written, or None."""
    try:
        wanted = str(UUID(name))
    except ValueError:
        return None
    every = (run for place in _datasets() for run in runs(place.removeprefix("runs/")))
    return next((run for run in every if run.flow_run == wanted), None)


def _datasets() -> list[str]:
    return root_storage().places("runs")


def _carried_out(contract: Contract, run: Run) -> bool:
    """Say whether what was decided is published or recorded."""
    settled = approvals.find(contract, run.publication.verdict)
    if settled is None:
        return False
    found = publish.STAGE.find(contract, settled.hash)
    return found is not None and publish.stands(found)


def _decided(contract: Contract, run: Run, found: Approval) -> str:
    said = f"run {run.id} was {found.summary} ({found.when}); a decision stays"
    if found.decision == "rejected":
        return f"{said}. A new candidate can pass: polycast retrain {contract.dataset}"
    return said


def _unknown(name: str) -> str:
    datasets = [place.removeprefix("runs/") for place in _datasets()]
    if name in datasets:
        return f"no run of {name} waits for approval: polycast show {name} lists its runs"
    there = [run for dataset in datasets if (run := newest_waiting(dataset))]
    waits = "".join(f"\n  {run.dataset}: {how_to_decide(run.id)}" for run in there)
    return (
        f"{name}: expected the id of a run, the id of a flow run or a dataset with a run that "
        f"waits for approval. {f'These wait:{waits}' if there else 'None waits here'}"
    )


def approval(decision: str, by: str, reason: str) -> Approval:
    """Return a decision that is made now. decision: approve or reject."""
    return Approval(
        decision="approved" if decision == "approve" else "rejected",
        by=by.strip(),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=reason.strip(),
    )
