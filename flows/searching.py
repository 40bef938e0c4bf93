"""`polycast tune` as the terminal runs it: a bar, the best trials, and the recipe written down."""

from importlib.resources import files
from pathlib import Path

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from data_contracts.loading import find_contract
from flows.terminal import live
from tasks.errors import WrongRequest
from tasks.storage import root_storage
from tasks.tuning.proposing import check_sampler
from tasks.tuning.result import Tuned, best_recipe, changes_text, recipe_diff
from tasks.tuning.study import read_trials
from tasks.tuning.trial import Trial

MOST_TRIALS = 5


def tune_here(
    dataset: str,
    contract: Contract,
    overrides: list[str],
    trials: int | None,
    minutes: float | None,
    apply: bool,
) -> None:
    """Tune in this process, show what was found, and write it into the contract if asked."""
    from flows.server import prefect_server

    file = _own_file(dataset) if apply else None
    if contract.tuning is not None:
        check_sampler(contract.tuning)
    with live(), prefect_server():
        from prefect import tags

        from flows.tuning import tune as flow

        with tags(contract.dataset):
            found = flow(dataset, overrides, trials, minutes)
    console = Console(highlight=False)
    show(console, contract, found)
    if file is not None:
        _apply(console, contract, found, file)


def _own_file(dataset: str) -> Path:
    """Return the contract's file. Raises WrongRequest for one that came with Polycast."""
    file = find_contract(dataset)
    shipped, here = Path(str(files("data_contracts"))).resolve(), Path.cwd().resolve()
    if file.resolve().is_relative_to(shipped) and not shipped.is_relative_to(here):
        raise WrongRequest(
            f"--apply: {file} came with Polycast, and is not yours to change. Copy it to "
            f"./data_contracts/{file.name}, then tune that"
        )
    return file


def show(console: Console, contract: Contract, found: Tuned) -> None:
    """Print the best trials, what changes in the recipe, and where the report is."""
    console.print(_table(found))
    style = "green" if found.better else "yellow"
    console.print(Text(found.words, style=f"bold {style}"), soft_wrap=True)
    diff = recipe_diff(contract.recipe, best_recipe(contract, found))
    if diff:
        lines = [line for line in diff.splitlines() if line[:2] not in ("--", "++", "@@")]
        console.print(Syntax("\n".join(lines), "diff", background_color="default"))
    report = root_storage().address(found.place, "report.html")
    console.print(f"  report       {report}", markup=False, soft_wrap=True)


def _table(found: Tuned) -> Table:
    title = f"{found.trials} trials, {found.pruned} pruned, {found.failed} failed"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name, side in (("trial", "right"), ("error", "right"), ("parameters", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    table.add_column("recipe", overflow="fold")
    trials = sorted(
        (t for t in read_trials(found.study) if t.state == "complete"), key=lambda t: t.error
    )
    own = [t for t in trials[MOST_TRIALS:] if t.number == 0]
    for trial in trials[:MOST_TRIALS] + own:
        table.add_row(*_cells(trial))
    return table


def _cells(trial: Trial) -> tuple[str, ...]:
    own = " (the contract's own)" if trial.origin == "contract" else ""
    size = f"{int(trial.values['parameters']):,}"
    return str(trial.number), f"{trial.error:.4f}", size, Text(changes_text(trial) + own).plain


def _apply(console: Console, contract: Contract, found: Tuned, file: Path) -> None:
    from tasks.tuning.applying import apply_recipe

    if not found.better:
        console.print(f"{file} stays as it is", markup=False)
        return
    diff = apply_recipe(file, best_recipe(contract, found), found)
    console.print(Syntax(diff, "diff", background_color="default"))
    console.print(f"[bold green]{file} has the best recipe[/]; next: polycast retrain {file.stem}")
