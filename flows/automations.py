"""Prefect's automations for a server of one's own: dead runs noticed, retrains started again and
started on drift, people told.

A server by itself leaves a run that was killed `Running` for ever (PrefectHQ/prefect, "Detect
zombie flows"): its flows send heartbeats, and the absence of heartbeats must be made to count.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.names import (
    BLOCKED,
    BREACH,
    DECAY,
    DRIFT,
    HELD,
    PUBLISHED,
    REFUSED,
    REJECTED,
    SUSPENDED,
    UNUSABLE,
    WAITING,
    resource,
)

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events import Automation, AutomationCore

HEARTBEAT = 30
"""Seconds between the heartbeats of a run: the least that Prefect takes."""
SILENCE = 90
"""Seconds without a heartbeat after which a run counts as dead."""
UNSTARTED = 900
"""Seconds that a run may be pending: an image may have to be fetched first."""
RESTARTS = 3
"""How often a retrain that crashed is started again."""
AT_ONCE = 300
"""Seconds within which the events of one look at a champion start one retrain."""
PAGE = 100
"""How many automations are asked for at once."""
CHANNEL = "polycast-"
"""How the name of a notification block begins that is to be told."""

_RUN = "prefect.flow-run"
_RETRAINS: dict[str, Any] = {
    "match": {"prefect.resource.id": f"{_RUN}.*"},
    "match_related": {
        "prefect.resource.role": "flow",
        "prefect.resource.name": ["retrain", "decide"],
    },
    "for_each": {"prefect.resource.id"},
}
_SHOWN = "{{ event.resource['prefect.resource.name'] }}"


def register(client: "SyncPrefectClient", watched: Sequence[str] = ()) -> list[str]:
    """Create the automations, or bring them up to date; return their names.

    `watched` are the datasets that drift and decay start a retrain of; their deployments are there.
    """
    retrains = [_retrained(client, dataset) for dataset in watched]
    found = [_silent(), _stuck(), _again(), *retrains, *_notifications(client)]
    _forget_others(client, {automation.name for automation in retrains})
    for automation in found:
        there = client.read_automations_by_name(automation.name)
        for old in there[1:]:
            client.delete_automation(old.id)
        if there:
            client.update_automation(there[0].id, automation)
        else:
            client.create_automation(automation)
    return [automation.name for automation in found]


def _silent() -> "AutomationCore":
    return _automation(
        "polycast: a run without heartbeats has crashed",
        f"Without a heartbeat for {SILENCE} s, the run's process or machine is gone.",
        {
            "posture": "Proactive",
            "match": {"prefect.resource.id": f"{_RUN}.*"},
            "for_each": {"prefect.resource.id"},
            "after": {f"{_RUN}.heartbeat"},
            "expect": {f"{_RUN}.*"},
            "within": timedelta(seconds=SILENCE),
        },
        _turned("CRASHED", f"No heartbeat for {SILENCE} s: its process or machine is gone."),
    )


def _stuck() -> "AutomationCore":
    return _automation(
        "polycast: a run that never starts has crashed",
        "A worker took the run and was gone before the run began.",
        {
            "posture": "Proactive",
            "match": {"prefect.resource.id": f"{_RUN}.*"},
            "for_each": {"prefect.resource.id"},
            "after": {f"{_RUN}.Pending"},
            "expect": {f"{_RUN}.*"},
            "within": timedelta(seconds=UNSTARTED),
        },
        _turned("CRASHED", f"Not begun within {UNSTARTED} s of being taken by a worker."),
    )


def _again() -> "AutomationCore":
    return _automation(
        "polycast: a crashed retrain is started again",
        f"Up to {RESTARTS} times. It goes on after the last stage that it finished.",
        {
            "posture": "Reactive",
            "match": {
                "prefect.resource.id": f"{_RUN}.*",
                "prefect.run-count": [str(n) for n in range(RESTARTS + 1)],
            },
            "match_related": [
                {"prefect.resource.role": "flow", "prefect.resource.name": "retrain"},
                {"prefect.resource.role": "deployment"},
            ],
            "for_each": {"prefect.resource.id"},
            "expect": {f"{_RUN}.Crashed"},
        },
        _turned(
            "SCHEDULED",
            "Started again after a crash: finished stages are not done again.",
            name="AwaitingRetry",
        ),
    )


_MOVED = "polycast: retrain when drifted or decayed: "


def _retrained(client: "SyncPrefectClient", dataset: str) -> "AutomationCore":
    """Return what starts a dataset's retrain on drift and on decay: once, where both come."""
    from prefect.events import RunDeployment

    deployment = client.read_deployment_by_name(f"retrain/{dataset}")
    return _automation(
        f"{_MOVED}{dataset}",
        "Recent rows differ from those of the champion, or its errors have grown.",
        {
            "posture": "Reactive",
            "match": {"prefect.resource.id": resource(dataset)},
            "for_each": {"prefect.resource.id"},
            "expect": {DRIFT, DECAY},
            "threshold": 1,
            "within": timedelta(seconds=AT_ONCE),
        },
        RunDeployment(
            source="selected", deployment_id=deployment.id, parameters=None, job_variables=None
        ),
    )


def _forget_others(client: "SyncPrefectClient", kept: set[str]) -> None:
    """Delete the automations of datasets that are watched no more."""
    for automation in _all(client):
        if automation.name.startswith(_MOVED) and automation.name not in kept:
            client.delete_automation(automation.id)


def _all(client: "SyncPrefectClient") -> list["Automation"]:
    found: list[Automation] = []
    while page := client.read_automations(limit=PAGE, offset=len(found)):
        found += page
    return found


def _notifications(client: "SyncPrefectClient") -> list["AutomationCore"]:
    """Return an automation per end of a retrain and per notification block named for us."""
    from prefect.events import SendNotification

    made = []
    for block in client.read_block_documents(include_secrets=False):
        if not (block.name or "").startswith(CHANNEL):
            continue
        for state in (*_TOLD_OF, SUSPENDED):
            word, body = (WAITING, _ASKED) if state == SUSPENDED else (state, _TOLD)
            made.append(
                _automation(
                    f"polycast: tell {block.name} of {state}",
                    f"A retrain is {state}.",
                    {"posture": "Reactive", "expect": {f"{_RUN}.{state}"}, **_RETRAINS},
                    SendNotification(
                        block_document_id=block.id, subject=f"{word}: {_SHOWN}", body=body
                    ),
                )
            )
    return made


_TOLD_OF = (
    PUBLISHED, HELD, BLOCKED, BREACH, UNUSABLE, REFUSED, WAITING, REJECTED, "Failed", "Crashed",
)  # fmt: skip
_ASKED = """It waits for approval: answer its form there, or run this where its storage root is.
polycast approve {{ flow_run.id }}

{{ flow_run | ui_url or '' }}"""
_TOLD = """{{ event.resource['prefect.state-message'] }}

{{ flow_run | ui_url or '' }}"""


def _turned(state: str, message: str, name: str | None = None) -> Any:
    """Return the action that moves a run to a state; a named one, even from a final state."""
    from prefect.client.schemas.objects import StateType
    from prefect.events import ChangeFlowRunState

    return ChangeFlowRunState(
        name=name, state=StateType(state), message=message, force=name is not None
    )


def _automation(
    name: str, description: str, trigger: dict[str, Any], action: Any
) -> "AutomationCore":
    from prefect.events import AutomationCore, EventTrigger

    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger.model_validate(trigger),
        actions=[action],
    )
