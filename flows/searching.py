"""`polycast tune` as the terminal runs it: a bar, the best trials, and the recipe written down."""

from collections.abc import Iterator, Sequence
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
    console.print(trials_table(found, read_trials(found.study)))
    style = "green" if found.better else "yellow"
    console.print(Text(found.words, style=f"bold {style}"), soft_wrap=True)
    diff = recipe_diff(contract.recipe, best_recipe(contract, found))
    if diff:
        lines = [line for line in diff.splitlines() if line[:2] not in ("--", "++", "@@")]
        console.print(Syntax("\n".join(lines), "diff", background_color="default"))
    report = root_storage().address(found.place, "report.html")
    console.print(f"  report       {report}", markup=False, soft_wrap=True)


def trials_table(found: Tuned, trials: Sequence[Trial]) -> Table:
    """Return the trials of least error, those on the front, and the contract's own, best first."""
    done = sorted((t for t in trials if t.state == "complete"), key=lambda t: t.error)
    kept = {0, *found.front, *(t.number for t in done[:MOST_TRIALS])}
    timed = any("latency" in t.values for t in done)
    title = f"{found.trials} trials, {found.pruned} pruned, {found.failed} failed"
    if found.front:
        title += "; on the front: no other trial beats it in all objectives"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in ("trial", "error", *(["ms per 1,000 rows"] if timed else []), "parameters"):
        table.add_column(name, justify="right")
    table.add_column("recipe", overflow="fold")
    for trial in (t for t in done if t.number in kept):
        table.add_row(*_cells(trial, timed, trial.number in found.front))
    return table


def _cells(trial: Trial, timed: bool, front: bool) -> Iterator[str]:
    yield str(trial.number)
    yield f"{trial.error:.4f}"
    if timed:
        yield f"{trial.values['latency']:.2f}" if "latency" in trial.values else "–"
    yield f"{int(trial.values['parameters']):,}"
    about = ["the contract's own"] * (trial.origin == "contract") + ["on the front"] * front
    yield Text(changes_text(trial) + (f" ({', '.join(about)})" if about else "")).plain


def _apply(console: Console, contract: Contract, found: Tuned, file: Path) -> None:
    from tasks.tuning.applying import apply_recipe

    if not found.better:
        console.print(f"{file} stays as it is", markup=False)
        return
    diff = apply_recipe(file, best_recipe(contract, found), found)
    console.print(Syntax(diff, "diff", background_color="default"))
    console.print(f"[bold green]{file} has the best recipe[/]; next: polycast retrain {file.stem}")
