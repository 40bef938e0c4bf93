"""The command line. Everything dear is imported where it is used: `--help` is instant."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from data_contracts.contract import Contract
    from tasks.records import Run

BLOCKED = 3
"""The exit code of a verdict that blocks; flows/explain.py has those of errors."""
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

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="A contract's name, looked for in ./data_contracts and then among the shipped "
        "ones, or the path of a YAML file.",
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
def retrain(dataset: Dataset, changes: Changes = None) -> None:
    """Retrain a dataset, and publish the new model if the gate lets it pass.

    Work that is finished is not done again: a second run on the same data and contract says
    "already up to date" at once, and a run that was killed goes on where it stopped.

    For example: `polycast retrain nyc_weather --set recipe.epochs=5`
    """
    with faults():
        contract, overrides = _contract(dataset, changes)
        from flows.server import configure

        configure()
        from flows.plan import finished

        run = finished(contract)
        fresh = run is None
        run = run or _run_retrain(dataset, overrides, contract.dataset)
        _show(contract, run, fresh)
        raise typer.Exit(0 if run.publication.version else BLOCKED)


@app.command()
def check(dataset: Dataset, changes: Changes = None) -> None:
    """Hold a dataset's data against its contract; train nothing.

    For example: `polycast check nyc_weather`
    """
    with faults():
        contract, overrides = _contract(dataset, changes)
        from flows.server import prefect_server

        with _live(), prefect_server():
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

        from flows.display import look_next, run_table
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
        console.print(run_table(found))
        look_next(console, _links(found[0]))


@app.command()
def schema() -> None:
    """Print the JSON Schema of contracts, for editors and other tools."""
    from data_contracts.schema import schema_text

    print(schema_text(), end="")


@app.command()
def up(
    prefect_port: Annotated[int, typer.Option(help="The Prefect UI's port.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="The MLflow UI's port.")] = 5000,
) -> None:
    """Start the Prefect UI and the MLflow UI over .polycast/, on loopback, until Ctrl-C."""
    with faults():
        from flows.up import serve

        serve(prefect_port, mlflow_port)


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


@contextmanager
def _live() -> Iterator[None]:
    from flows.console import clear, open_console

    open_console()
    try:
        yield
    finally:
        clear()


def _run_retrain(dataset: str, overrides: list[str], name: str) -> "Run":
    from flows.server import prefect_server

    with _live(), prefect_server():
        from prefect import tags

        from flows.retrain import retrain as flow

        with tags(name):
            return flow(dataset, overrides)


def _show(contract: "Contract", run: "Run", fresh: bool) -> None:
    from rich.console import Console

    from flows.display import look_next, show_run

    console = Console(highlight=False)
    if fresh:
        show_run(console, contract, run, _links(run))
    elif run.publication.version:
        console.print(
            f"[bold green]Already up to date[/]: {run.publication.summary}, from run {run.id}",
            soft_wrap=True,
        )
        look_next(console, _links(run))
    else:
        console.print(f"[bold red]Still blocked[/], as in run {run.id}: nothing has changed since")
        show_run(console, contract, run, _links(run))


def _links(run: "Run") -> dict[str, str]:
    from flows.server import running
    from tasks.storage import root_storage

    storage = root_storage()
    checked = run.publication.verdict.scores.candidate.shards.checked
    links = {
        "report": storage.address(run.place, "report.html"),
        "data docs": storage.address(checked.place, "data_docs/index.html"),
    }
    up = running()
    if up:
        links["Prefect UI"] = f"{up['prefect']}/runs/flow-run/{run.flow_run}"
        links["MLflow UI"] = f"{up['mlflow']}/#/models/{run.publication.model}"
    else:
        links["UIs"] = "polycast up   (Prefect and MLflow, over the same folder)"
    return links


if __name__ == "__main__":
    main()
