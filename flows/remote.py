"""`retrain --remote`: start a deployment's run on the team's server, and follow it from here."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.console import Console

from flows.explain import DATA, FAULT
from flows.names import BLOCKED, BREACH, run_name
from flows.results import BLOCKED_CODE, Result
from flows.server import ServerFault

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

LOOK = 1.0
"""Seconds between looks at the run."""


def retrain_remotely(dataset: str, parameters: dict[str, Any], console: Console) -> int:
    """Start `retrain/<dataset>`, print its stages as they end, and return the exit code.

    Ctrl-C leaves the run to its worker. Raises ServerFault where nothing is deployed.
    """
    from prefect.client.orchestration import get_client

    run = _start(dataset, parameters)
    console.print(f"{dataset}: run {run.name}   {_address(run)}", soft_wrap=True)
    with get_client(sync_client=True) as client:
        state = _follow(client, run.id, console)
    return _ended(state, console)


def _start(dataset: str, parameters: dict[str, Any]) -> "FlowRun":
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        run: Any = run_deployment(
            f"retrain/{dataset}",
            parameters=parameters,
            flow_run_name=run_name(dataset, parameters["as_of"]),
            timeout=0,
            as_subflow=False,
        )
    except ObjectNotFound:
        raise ServerFault(
            f"retrain/{dataset} is not deployed on the server: run `polycast deploy` where its "
            "contract is"
        ) from None
    return run  # type: ignore[no-any-return]  # a coroutine only where a loop runs


def retrain_all_remotely(
    datasets: Sequence[str], parameters: dict[str, Any], tell: Callable[[Result], None]
) -> list[Result]:
    """Start a run for each dataset, and return their Results in the order they ended.

    How many run at once is up to the workers. tell: called with each Result as it is there.
    """
    from prefect.client.orchestration import get_client

    done = []
    running: dict[str, UUID] = {}
    for dataset in datasets:
        try:
            running[dataset] = _start(dataset, parameters).id
        except ServerFault as fault:
            done.append(Result(dataset, "Failed", str(fault), code=FAULT))
            tell(done[-1])
    with get_client(sync_client=True) as client:
        while running:
            for dataset, run in list(running.items()):
                found = client.read_flow_run(run)
                if found.state is not None and found.state.is_final():
                    del running[dataset]
                    done.append(_result(dataset, found))
                    tell(done[-1])
            time.sleep(LOOK)
    return done


def _result(dataset: str, run: "FlowRun") -> Result:
    state = run.state
    assert state is not None
    seconds = run.total_run_time.total_seconds()
    return Result(dataset, str(state.name), state.message or "", seconds, _code(state))


def _address(run: "FlowRun") -> str:
    from prefect.utilities.urls import url_for

    return url_for(run) or f"flow run {run.id}"


def _follow(client: "SyncPrefectClient", run: UUID, console: Console) -> "State[Any]":
    """Print each stage as it ends; return the run's final state."""
    told: set[UUID] = set()
    with console.status("waiting for a worker …") as status:
        while True:
            state = client.read_flow_run(run).state
            if state is None:
                raise ServerFault("the run has no state")
            status.update(f"{str(state.name).lower()} …")
            _tell_stages(client, run, console, told)
            if state.is_final():
                return state
            time.sleep(LOOK)


def _tell_stages(client: "SyncPrefectClient", run: UUID, console: Console, told: set[UUID]) -> None:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import TaskRunSort

    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    for task in client.read_task_runs(flow_run_filter=mine, sort=TaskRunSort.END_TIME_DESC)[::-1]:
        if task.id in told or task.state is None or not task.state.is_final():
            continue
        told.add(task.id)
        mark = "[green]✔[/]" if task.state.is_completed() else "[red]✘[/]"
        # Training is a run of its own, which stands among the tasks under a name of Prefect's.
        child = task.state.state_details.child_flow_run_id
        name = "train" if child else task.name.rsplit("-", 1)[0]
        seconds = task.total_run_time.total_seconds()
        console.print(f"{mark} [bold]{name:<10}[/] [dim]{seconds:6.1f} s[/]")


def _ended(state: "State[Any]", console: Console) -> int:
    """Say how the run ended, and return the exit code for it."""
    good = state.is_completed() and state.name != BLOCKED
    style = "bold green" if good else "bold red"
    console.print(f"[{style}]{state.name}[/]")
    console.print(f"  {state.message or ''}", markup=False, soft_wrap=True)
    return _code(state)


def _code(state: "State[Any]") -> int:
    """Return the exit code for a final state."""
    if state.is_completed():
        return BLOCKED_CODE if state.name == BLOCKED else 0
    return DATA if state.name == BREACH else FAULT
