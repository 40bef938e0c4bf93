"""The command line. Everything dear is imported where it is used: `--help` is instant."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from data_contracts.contract import Contract

WRONG_USAGE = 2
SHOWN_RUNS = 10

app = typer.Typer(
    name="polycast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Retrain models that predict many numbers at once, and publish only what is no worse.

    A dataset is one YAML contract in ./data_contracts. State lies in .polycast/, or where
    POLYCAST_HOME says: a folder or an address such as s3://bucket/prefix. Runs report to the
    Prefect server of PREFECT_API_URL, to that of `polycast up`, or to a temporary one;
    models go to MLFLOW_TRACKING_URI, or to SQLite under .polycast/.

    Start with `polycast retrain nyc_weather`.""",
    epilog="""Exit codes: 0 published, or already up to date · 1 a fault · 2 wrong usage or
    contract · 3 blocked by the gate · 4 data missing, unreadable or in breach of the contract ·
    5 waits for approval.""",
)

_DATASET = typer.Argument(
    metavar="DATASET",
    help="A contract's name, looked for in ./data_contracts and then among the shipped "
    "ones, or the path of a YAML file.",
)
Dataset = Annotated[str, _DATASET]
Waiting = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run as `polycast show` lists it, a dataset for its newest run that waits, or the "
        "id of a flow run.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a field of the contract for this run, such as recipe.epochs=5. Repeatable.",
    ),
]


@app.command()
def retrain(
    dataset: Annotated[str | None, _DATASET] = None,
    changes: Changes = None,
    from_stage: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Do this stage and all later ones again, though nothing has changed.",
        ),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Retrain as if on this day: later rows are left out, and the champion stays.",
        ),
    ] = None,
    rebaseline: Annotated[
        str | None,
        typer.Option(
            metavar="WHY",
            help="A new start: compare with no champion. The reason stays with the version.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Retrain every dataset; one's failure stops no other.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tag=TAG",
            help="Retrain the datasets that fit, such as tag=weather. Repeatable.",
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, help="How many datasets are retrained at once.")
    ] = 1,
    gpus: Annotated[
        float,
        typer.Option(min=0, help="How many GPUs each dataset gets, with POLYCAST_ENGINE=ray."),
    ] = 0,
    remote: Annotated[
        bool, typer.Option(help="Let the workers of the Prefect server do it, and follow it here.")
    ] = False,
) -> None:
    """Retrain a dataset, and publish the new model if the gate lets it pass.

    Work that is finished is not done again: a second run on the same data and contract says
    "already up to date" at once, and a run that was killed goes on where it stopped.

    For example: `polycast retrain nyc_weather --set recipe.epochs=5`
    """
    from flows.names import STAGES

    if from_stage is not None and from_stage not in STAGES:
        raise _ended(f"--from {from_stage}: expected one of {', '.join(STAGES)}", WRONG_USAGE)
    if bool(dataset) + every + bool(where) != 1:
        raise _ended("expected one of DATASET, --all and --where", WRONG_USAGE)
    if rebaseline is not None and dataset is None:
        raise _ended("--rebaseline: expected one DATASET, since it has one reason", WRONG_USAGE)
    day = as_of.date() if as_of else None
    with faults():
        from flows import terminal

        wish = terminal.Wish(changes or [], day, from_stage, rebaseline)
        if dataset is None:
            code = terminal.retrain_fleet(where or [], wish, parallel, gpus, remote)
        elif remote:
            code = terminal.retrain_remotely(dataset, wish)
        else:
            code = terminal.retrain_here(dataset, wish)
        raise typer.Exit(code)


@app.command()
def approve(
    run: Waiting,
    reason: Annotated[str, typer.Option(help="Why; kept with the version.")] = "",
) -> None:
    """Publish a candidate that waits for approval.

    The decision is kept for ever with the version, and with the name of who runs this. Where the
    champion has moved meanwhile, the candidate is judged again, and asked about again.

    For example: `polycast approve nyc_weather`
    """
    with faults():
        from flows.terminal import decide_here

        raise typer.Exit(decide_here(run, "approve", reason))


@app.command()
def reject(
    run: Waiting,
    reason: Annotated[str, typer.Option(prompt="Why", help="Why; kept with the verdict.")],
) -> None:
    """Reject a candidate that waits for approval: the champion stays.

    For example: `polycast reject nyc_weather --reason "one station is off"`
    """
    with faults():
        from flows.terminal import decide_here

        raise typer.Exit(decide_here(run, "reject", reason))


@app.command()
def check(dataset: Dataset, changes: Changes = None) -> None:
    """Hold a dataset's data against its contract; train nothing.

    For example: `polycast check nyc_weather`
    """
    with faults():
        contract, overrides = _contract(dataset, changes)
        from flows.server import prefect_server
        from flows.terminal import live

        with live(), prefect_server():
            from prefect import tags

            from flows.check import check as flow

            with tags(contract.dataset):
                checked = flow(dataset, overrides)
        from rich.console import Console

        from tasks.storage import root_storage

        console = Console(highlight=False)
        console.print(f"[bold green]{contract.dataset} keeps its contract[/]")
        for reason in checked.reasons:
            console.print(
                f"  quarantined: {reason.expectation}: {reason.rows:,} rows", markup=False
            )
        docs = root_storage().address(checked.place, "data_docs/index.html")
        console.print(f"  data docs    {docs}", markup=False, soft_wrap=True)


@app.command()
def contracts() -> None:
    """List the contracts there are: your own in ./data_contracts, then the shipped ones."""
    from rich.console import Console

    from data_contracts.errors import ContractError
    from data_contracts.loading import contract_files, example_files, load_contract
    from flows.display import contract_table

    found: dict[str, tuple[Path, Contract | str]] = {}
    for name, file in contract_files().items():
        try:
            found[name] = (file, load_contract(str(file)))
        except ContractError as error:
            found[name] = (file, str(error))
    console = Console(highlight=False)
    console.print(contract_table(found))
    console.print(f"Examples, one per architecture: {', '.join(example_files())}")


@app.command()
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A ready-made recipe or an architecture."),
    ] = None,
) -> None:
    """List the recipes and architectures there are, or all options of one.

    For example: `polycast recipes quantile`
    """
    from rich.console import Console

    from data_contracts.recipes.brought import RecipeFault
    from flows.recipes import show_recipe, show_recipes

    console = Console(highlight=False)
    try:
        show_recipe(console, name) if name else show_recipes(console)
    except RecipeFault as fault:
        raise _ended(str(fault), WRONG_USAGE) from None


@app.command()
def show(dataset: Dataset) -> None:
    """Show a dataset's champion and its last runs with their verdicts."""
    with faults():
        contract, _ = _contract(dataset, None)
        from rich.console import Console

        from flows.display import look_next, run_table, show_waiting
        from flows.terminal import links
        from flows.waiting import decision_of, undecided
        from tasks.registry import champion
        from tasks.runs import runs

        console = Console(highlight=False)
        current = champion(contract.registered_model)
        address = f"models:/{contract.registered_model}@champion"
        named = f"version {current.version}, {address}" if current else "none yet"
        console.print(f"[bold]{contract.dataset}[/]  champion: {named}")
        found = list(islice(runs(contract.dataset), SHOWN_RUNS))
        if not found:
            console.print(f"No runs yet: polycast retrain {dataset}")
            return
        decisions = {run.id: made for run in found if (made := decision_of(run))}
        console.print(run_table(found, decisions))
        show_waiting(console, list(undecided(contract.dataset)))
        look_next(console, links(found[0]))


@app.command()
def schema() -> None:
    """Print the JSON Schema of contracts, for editors and other tools."""
    from data_contracts.schema import schema_text

    print(schema_text(), end="")


@app.command()
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


@app.command()
def doctor() -> None:
    """Say what is wrong with this installation, and how to mend it.

    Exit code 0 when a retrain would work here, 1 when not. Notes are of what a retrain does not
    need, such as a GPU or a running server.
    """
    with faults():
        from rich.console import Console

        from flows.doctor import diagnose

        raise typer.Exit(0 if diagnose(Console(highlight=False)) else 1)


@app.command()
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

        from flows.display import show_deployed

        show_deployed(Console(highlight=False), deployed.schedules, deployed.unusable)
        raise typer.Exit(WRONG_USAGE if deployed.unusable else 0)


def main() -> None:
    """Run the command line."""
    app()


@contextmanager
def faults() -> Iterator[None]:
    """Turn errors into a message on standard error and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        raise _ended("stopped; what is finished is kept", 130) from None
    except Exception as error:
        from flows.explain import explain

        message, code = explain(error)
        raise _ended(message, code) from None


def _ended(message: str, code: int) -> typer.Exit:
    if "flows.console" in sys.modules:
        sys.modules["flows.console"].clear()
    typer.secho("polycast: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(message, err=True)
    return typer.Exit(code)


def _contract(dataset: str, changes: list[str] | None) -> "tuple[Contract, list[str]]":
    from data_contracts.loading import load_contract

    overrides = changes or []
    return load_contract(dataset, overrides), overrides


if __name__ == "__main__":
    main()
