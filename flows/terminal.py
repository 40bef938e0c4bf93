"""Retrains as the terminal runs them: here, on the team's workers, or many datasets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from flows.names import changes
from flows.results import BLOCKED_CODE, code_of

if TYPE_CHECKING:
    from data_contracts.contract import Contract
    from tasks.records import Approval, Run


@dataclass(frozen=True)
class Wish:
    """What is asked of a retrain beside its dataset."""

    overrides: list[str]
    as_of: date | None = None
    from_stage: Any = None
    """One of flows.again.STAGES, or None."""
    rebaseline: str | None = None
    """Why the champion is not compared with, where a new start is asked for."""

    @property
    def asked(self) -> list[str]:
        """All changes to the contract."""
        return changes(self.overrides, self.as_of, self.rebaseline)

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, as JSON values."""
        return {
            "overrides": self.overrides,
            "as_of": self.as_of.isoformat() if self.as_of else None,
            "from_stage": self.from_stage,
            "rebaseline": self.rebaseline,
        }


def retrain_here(dataset: str, wish: Wish) -> int:
    """Retrain in this process, show how it went, and return the exit code."""
    from data_contracts.loading import load_contract
    from flows.server import configure

    contract = load_contract(dataset, wish.asked)
    configure()
    from flows.plan import finished

    run = None if wish.from_stage else finished(contract)
    fresh = run is None
    run = run or _run(dataset, wish, contract.dataset)
    _show(contract, run, fresh)
    return code_of(run)


def retrain_remotely(dataset: str, wish: Wish) -> int:
    """Retrain on the workers of the team's server, and return the exit code."""
    from rich.console import Console

    from flows.server import team_server

    with team_server():
        from flows.remote import retrain_remotely as follow

        return follow(dataset, wish.parameters, Console(highlight=False))


def decide_here(name: str, decision: Literal["approve", "reject"], reason: str) -> int:
    """Decide of a run that waits, carry that out, and return the exit code.

    Raises NotWaiting.
    """
    from flows.server import configured, prefect_server, running
    from flows.waiting import approval, waiting
    from tasks import approvals
    from tasks.contracts import read_contract

    made = approval(decision, user(), reason)
    run = waiting(name, made.decision)
    contract = read_contract(run.place)
    approvals.decide(contract, run.publication.verdict, made)
    lasting = configured() or bool(running())
    with live(), prefect_server():
        code = _resumed(run, decision, made) if lasting else None
        if code is None:
            from flows.decide import decide

            ended = decide(run.place)
            _show(contract, ended, fresh=True)
            if ended.outcome == "waiting":
                print("The champion has moved since: the candidate was judged again, and waits.")
            code = code_of(ended)
    return 0 if (decision, code) == ("reject", BLOCKED_CODE) else code


def _resumed(run: "Run", decision: str, made: "Approval") -> int | None:
    """Have the flow run that is suspended over a run go on, follow it, and return its exit code.

    None where there is no such flow run.
    """
    from rich.console import Console

    from flows.suspended import resume, who_asks

    asks = who_asks(run)
    if asks is None:
        return None
    resume(asks, {"decision": decision, "name": made.by, "reason": made.reason})
    from flows.remote import follow

    return follow(UUID(asks), Console(highlight=False))


def user() -> str:
    """Return the user's name on this machine."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, a number may be all there is
        return f"user {os.getuid()}"


def retrain_fleet(where: list[str], wish: Wish, parallel: int, gpus: float, remote: bool) -> int:
    """Retrain every dataset that fits, show a summary, and return the exit code."""
    from rich.console import Console

    from flows.console import open_console
    from flows.server import configure, prefect_server, team_server

    configure()
    from flows.choice import choose, up_to_date
    from flows.display.fleet import fleet_table, show_result
    from flows.results import Result, gravest

    console = Console(highlight=False)

    def tell(result: Result) -> None:
        show_result(console, result)

    datasets, done = choose(where)
    open_console(draw=False)
    for result in done:
        tell(result)
    if remote:
        with team_server():
            from flows.remote import retrain_all_remotely

            done += retrain_all_remotely(datasets, wish.parameters, tell)
    else:
        done += (idle := [] if wish.from_stage else up_to_date(datasets, wish.asked, tell))
        due = [d for d in datasets if d not in {r.dataset for r in idle}]
        if due:
            with prefect_server():
                from flows.fleet import retrain_all

                done += retrain_all(
                    due, parallel, tell, wish.overrides, wish.as_of, wish.from_stage, gpus
                )
    console.print(fleet_table(done))
    return gravest(done)


def show_losses(asked: bool) -> None:
    """Have this process, and those that it starts, show each target's loss where that is asked."""
    from flows.console import LOSSES

    if asked:
        os.environ[LOSSES] = "1"


def _run(dataset: str, wish: Wish, name: str) -> "Run":
    from flows.server import prefect_server

    with live(), prefect_server():
        from prefect import tags

        from flows.retrain import retrain as flow

        with tags(name):
            return flow(dataset, wish.overrides, wish.as_of, wish.from_stage, wish.rebaseline)


@contextmanager
def live() -> Iterator[None]:
    """Draw what goes on while the block runs."""
    from flows.console import clear, open_console

    open_console()
    try:
        yield
    finally:
        clear()


def _show(contract: "Contract", run: "Run", fresh: bool) -> None:
    from rich.console import Console

    from flows.display.runs import look_next, show_run

    console = Console(highlight=False)
    if fresh:
        show_run(console, contract, run, links(run))
    elif run.outcome == "waiting":
        console.print(f"[bold yellow]Waits for approval[/] since run {run.id}: nothing has changed")
        show_run(console, contract, run, links(run))
    elif run.publication.version:
        console.print(
            f"[bold green]Already up to date[/]: {run.publication.summary}, from run {run.id}",
            soft_wrap=True,
        )
        look_next(console, links(run))
    else:
        console.print(
            f"[bold red]Still {run.outcome}[/], as in run {run.id}: nothing has changed since"
        )
        show_run(console, contract, run, links(run))


def links(run: "Run") -> dict[str, str]:
    """Return where a run can be looked at, by name: files, and pages of servers that are up."""
    from flows.server import running
    from tasks.storage import root_storage

    storage = root_storage()
    checked = run.publication.verdict.scores.candidate.shards.checked
    found = {
        "report": storage.address(run.place, "report.html"),
        "data docs": storage.address(checked.place, "data_docs/index.html"),
    }
    up = running()
    if up:
        found["Prefect UI"] = f"{up['prefect']}/runs/flow-run/{run.flow_run}"
        found["MLflow UI"] = f"{up['mlflow']}/#/models/{run.publication.model}"
    else:
        found["UIs"] = "polycast up   (Prefect and MLflow, over the same folder)"
    return found
