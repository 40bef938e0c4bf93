"""`retrain --remote`: start a deployment's run on the team's server, and follow it from here."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.console import Console

from flows.explain import DATA, FAILURES, FAULT
from flows.names import BREACH, how_to_decide, run_name
from flows.results import WAITING_CODE, Result, code
from flows.server import ServerFault

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State, TaskRun

LOOK = 1.0
"""Seconds between looks at the run."""


def retrain_remotely(dataset: str, parameters: dict[str, Any], console: Console) -> int:
    """Start `retrain/<dataset>`, print its stages as they end, and return the exit code.

    Ctrl-C leaves the run to its worker. Raises ServerFault where nothing is deployed.
    """
    return follow(_start(dataset, parameters).id, console)


def follow(run: UUID, console: Console) -> int:
    """Print a run's stages as they end; return the exit code for its end, or for that it waits."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_flow_run(run)
        console.print(f"run {found.name}   {_address(found)}", soft_wrap=True)
        state = _follow(client, run, console)
    return _ended(state, run, console)


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
                if found.state is not None and _is_over(found.state):
                    del running[dataset]
                    done.append(_result(dataset, found))
                    tell(done[-1])
            time.sleep(LOOK)
    return done


def _result(dataset: str, run: "FlowRun") -> Result:
    state = run.state
    assert state is not None
    seconds = run.total_run_time.total_seconds()
    return Result(dataset, str(state.name), _said(state, run.id), seconds, exit_code(state))


def _address(run: "FlowRun") -> str:
    from prefect.utilities.urls import url_for

    return url_for(run) or f"flow run {run.id}"


def _follow(client: "SyncPrefectClient", run: UUID, console: Console) -> "State[Any]":
    """Print each stage as it ends; return the state in which the run has ended, or waits.

    What ended before, of a run that goes on, is not told again.
    """
    told = {task.id for task in _ended_tasks(client, run)}
    with console.status("waiting for a worker …") as status:
        while True:
            state = client.read_flow_run(run).state
            if state is None:
                raise ServerFault("the run has no state")
            status.update(f"{str(state.name).lower()} …")
            for task in _ended_tasks(client, run):
                if task.id not in told:
                    told.add(task.id)
                    _tell(task, console)
            if _is_over(state):
                return state
            time.sleep(LOOK)


def _ended_tasks(client: "SyncPrefectClient", run: UUID) -> "list[TaskRun]":
    """Return the tasks of a run that have ended, in the order in which they did."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import TaskRunSort

    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    found = client.read_task_runs(flow_run_filter=mine, sort=TaskRunSort.END_TIME_DESC)[::-1]
    return [task for task in found if task.state is not None and task.state.is_final()]


def _tell(task: "TaskRun", console: Console) -> None:
    assert task.state is not None
    mark = "[green]✔[/]" if task.state.is_completed() else "[red]✘[/]"
    # Training is a run of its own, which stands among the tasks under a name of Prefect's.
    child = task.state.state_details.child_flow_run_id
    name = "train" if child else task.name.rsplit("-", 1)[0]
    seconds = task.total_run_time.total_seconds()
    console.print(f"{mark} [bold]{name:<10}[/] [dim]{seconds:6.1f} s[/]")


def _is_over(state: "State[Any]") -> bool:
    """Say whether a run has ended or is suspended: no worker does anything more by itself."""
    return state.is_final() or state.is_paused()


def _ended(state: "State[Any]", run: UUID, console: Console) -> int:
    """Say how the run ended, and return the exit code for it."""
    found = exit_code(state)
    style = {0: "bold green", WAITING_CODE: "bold yellow"}.get(found, "bold red")
    console.print(f"[{style}]{state.name}[/]")
    console.print(f"  {_said(state, run)}", markup=False, soft_wrap=True)
    return found


def _said(state: "State[Any]", run: UUID) -> str:
    if state.is_paused():
        return f"it waits for approval: answer its form there, or {how_to_decide(str(run))}"
    return state.message or ""


def exit_code(state: "State[Any]") -> int:
    """Return the exit code for the state in which a run has ended, or waits."""
    if state.is_completed() or state.is_paused():
        return code(str(state.name))
    codes = {BREACH: DATA} | {name: code for code, name in FAILURES.items()}
    return codes.get(str(state.name), FAULT)
