"""Runs: what came of one, those that wait for a person, and the last ones."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_contracts.contract import Contract
from flows.display.scores import metric_table
from flows.display.tables import titled_table
from flows.display.verdict import show_verdict
from flows.names import how_to_decide
from tasks.records import Approval, Publication, Run


def show_run(console: Console, contract: Contract, run: Run, links: dict[str, str]) -> None:
    """Print a run's errors, its verdict, what was published, and where to look next."""
    publication = run.publication
    verdict = publication.verdict
    console.print()
    console.print(metric_table(contract, verdict.scores))
    console.print()
    show_verdict(console, verdict)
    console.print()
    console.print(_outcome(publication), soft_wrap=True)
    if run.outcome == "waiting":
        _how_to_decide(console, run)
    look_next(console, links)


def _outcome(publication: Publication) -> str:
    """Return what became of the candidate, in rich's markup."""
    model, number, as_of = publication.model, publication.version, publication.as_of
    if number is None:
        done = "kept" if as_of else "published"
        if publication.outcome == "waiting":
            return f"[bold yellow]Waits for approval[/]: nothing is {done} until somebody decides."
        if publication.held is not None:
            kept, why = publication.held.version, escape(publication.held.reason)
            words = f"[bold red]Held[/] {model} version {kept}; the champion stays."
            return f"{words} It failed its proof:\n  {why}"
        word = publication.outcome.capitalize()
        return f"[bold red]{word}[/]: nothing was {done}; the champion stays."
    if as_of:
        kept = f"[bold green]Kept[/] {model} version {number}, as of {as_of}"
        return f"{kept}: [bold]models:/{model}/{number}[/]; the champion stays."
    address = f"[bold]models:/{model}@champion[/]"
    return f"[bold green]Published[/] {model} version {number}: {address}"


def show_waiting(console: Console, runs: Sequence[Run]) -> None:
    """Print the runs that wait for a person, and how to decide of each."""
    for run in runs:
        console.print(f"[bold yellow]Waits for approval[/]: run {run.id}")
        _how_to_decide(console, run)


def _how_to_decide(console: Console, run: Run) -> None:
    console.print(f"  {how_to_decide(run.id)}", markup=False, soft_wrap=True)


def look_next(console: Console, links: dict[str, str]) -> None:
    """Print where to look next, one address a line."""
    console.print("\nWhere to look next", style="bold")
    for name, address in links.items():
        console.print(f"  {name:<12} {address}", markup=False, soft_wrap=True)


def run_table(runs: Sequence[Run], decisions: Mapping[str, Approval]) -> Table:
    """Return the last runs of a dataset, newest first.

    decisions: what people decided of those that waited, by the run's id.
    """
    table = titled_table("Last runs")
    table.add_column("run", no_wrap=True)
    for column in ("outcome", "version", "failed rulings"):
        table.add_column(column, overflow="fold")
    for run in runs:
        verdict = run.publication.verdict
        failed = "; ".join(f"{r.target}: {r.rule}" for r in verdict.rulings if not r.passed)
        version = run.publication.version or "–"
        decision = decisions.get(run.id)
        word = f"waited, {decision.decision} by {decision.by}" if decision else _outcome_word(run)
        table.add_row(run.id, word, version, failed or "none")
    return table


def _outcome_word(run: Run) -> str:
    """Return a run's outcome in a word or, where it was made as of a day, with the day."""
    as_of = run.publication.as_of
    if as_of is None:
        return run.outcome
    return f"{'kept' if run.publication.version else run.outcome}, as of {as_of}"
