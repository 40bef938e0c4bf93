"""Start what a team needs, register deployments, and say what is wrong here."""

from typing import Annotated

import typer

from flows.commands.common import WRONG_USAGE, faults


def up(
    prefect_port: Annotated[int, typer.Option(help="The Prefect UI's port.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="The MLflow UI's port.")] = 5000,
    retrains: Annotated[
        int | None,
        typer.Option(min=1, help="How many retrains may run at once; one per core by default."),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=0, help="How many GPU workers to start; one per GPU by default."),
    ] = None,
) -> None:
    """Start all that a team needs on this machine, on loopback, until Ctrl-C.

    That is the Prefect server and UI, the MLflow UI, a CPU worker, a worker per GPU, and every
    contract's deployment with its schedule on. Contracts that change are registered again.
    """
    with faults():
        from flows.up import serve

        serve(prefect_port, mlflow_port, retrains, gpus)


def doctor() -> None:
    """Say what is wrong with this installation, and how to mend it.

    Exit code 0 when a retrain would work here, 1 when not. Notes are of what a retrain does not
    need, such as a GPU or a running server.
    """
    with faults():
        from rich.console import Console

        from flows.doctor import diagnose

        raise typer.Exit(0 if diagnose(Console(highlight=False)) else 1)


def deploy(
    show_only: Annotated[
        bool, typer.Option("--print", help="Print the deployments as YAML; register nothing.")
    ] = False,
) -> None:
    """Register every contract's deployments, the work pools and the automations.

    They go to the Prefect server of PREFECT_API_URL, or to that of `polycast up`, which does this
    by itself.
    """
    with faults():
        from flows.deploying import deploy as register
        from flows.deploying import printed
        from flows.server import team_server

        if show_only:
            print(printed(), end="")
            return
        with team_server():
            deployed = register()
        from rich.console import Console

        from flows.display.contracts import show_deployed

        show_deployed(Console(highlight=False), deployed.schedules, deployed.unusable)
        raise typer.Exit(WRONG_USAGE if deployed.unusable else 0)
