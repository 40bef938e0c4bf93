"""Flow runs that Prefect has suspended until somebody decides of their candidates.

Which run folder a flow run waits with is kept under the storage root, by the flow run's id and by
the verdict, so that one verdict is asked about once.
"""

from typing import Any
from uuid import UUID

from tasks.records import Run
from tasks.report import STAGE
from tasks.storage import root_storage


class CannotResume(Exception):
    """The Prefect server refused to resume a suspended run."""


def note(run: Run, flow_run: str) -> None:
    """Keep what a flow run is about to be suspended with."""
    asking = run.model_copy(update={"flow_run": flow_run})
    for place in (_by_flow_run(flow_run), _by_verdict(run)):
        with root_storage().write(place) as work:
            work.record = asking.model_dump(mode="json")


def suspended_with(flow_run: str) -> Run | None:
    """Return the run folder that a flow run was suspended with last, or None."""
    return STAGE.read(_by_flow_run(flow_run))


def who_asks(run: Run) -> str | None:
    """Return the id of the flow run that is suspended over a run's verdict now, or None."""
    found = STAGE.read(_by_verdict(run))
    if found is None or found.flow_run is None:
        return None
    return found.flow_run if _is_suspended(found.flow_run) else None


def _by_flow_run(flow_run: str) -> str:
    return f"suspended/runs/{flow_run}"


def _by_verdict(run: Run) -> str:
    return f"suspended/verdicts/{run.publication.verdict.hash[:16]}"


def _is_suspended(flow_run: str) -> bool:
    """Say whether the Prefect server that is configured knows a flow run as suspended."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(flow_run)).state
        except ObjectNotFound:
            return False
    return state is not None and state.is_paused()


def resume(flow_run: str, answer: dict[str, Any]) -> None:
    """Answer a suspended flow run's form, so that a worker takes it up again.

    Raises CannotResume.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        result = client.resume_flow_run(UUID(flow_run), run_input=answer)
    if result.status != "ACCEPT":
        why = getattr(result.details, "reason", "") or result.status
        raise CannotResume(f"the Prefect server did not resume flow run {flow_run}: {why}")
