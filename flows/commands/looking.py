"""Look: at contracts, recipes, and what became of a dataset's runs."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.common import WRONG_USAGE, Dataset, contract_of, ended, faults

if TYPE_CHECKING:
    from data_contracts.contract import Contract

SHOWN_RUNS = 10


def contracts() -> None:
    """List the contracts there are: your own in ./data_contracts, then the shipped ones."""
    from rich.console import Console

    from data_contracts.errors import ContractError
    from data_contracts.loading import contract_files, example_files, load_contract
    from flows.display.contracts import contract_table

    found: dict[str, tuple[Path, Contract | str]] = {}
    for name, file in contract_files().items():
        try:
            found[name] = (file, load_contract(str(file)))
        except ContractError as error:
            found[name] = (file, str(error))
    console = Console(highlight=False)
    console.print(contract_table(found))
    console.print(f"Examples, one per architecture: {', '.join(example_files())}")


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
        raise ended(str(fault), WRONG_USAGE) from None


def show(dataset: Dataset) -> None:
    """Show a dataset's champion and its last runs with their verdicts."""
    with faults():
        contract, _ = contract_of(dataset, None)
        from rich.console import Console

        from flows.display.runs import look_next, run_table, show_waiting
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


def schema() -> None:
    """Print the JSON Schema of contracts, for editors and other tools."""
    from data_contracts.schema import schema_text

    print(schema_text(), end="")
