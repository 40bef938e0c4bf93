"""What the terminal shows of contracts, runs and verdicts."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from flows.results import Result
from tasks.records import Publication, Ruling, Run, Scores, Verdict


def metric_table(contract: Contract, scores: Scores) -> Table:
    """Return RMSE per target in its unit, the candidate's beside every other model's."""
    order = ("champion", "independent", "persistence", "ridge", "mean")
    others = [m for m in order if m in scores.models]
    table = _table("RMSE on the test rows, in the target's unit")
    table.add_column("target", overflow="fold")  # where there is little room: no number is cut
    for model in ("candidate", *others):
        heading = scores.opponent if model == "champion" else model
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("R²", justify="right", no_wrap=True)
    for name, target in contract.target_columns.items():
        values = {m: scores.of(m, name, "rmse") for m in ("candidate", *others)}
        known = [v for v in values.values() if v is not None]
        cells = [_cell(v, v is not None and v == min(known)) for v in values.values()]
        r2 = scores.of("candidate", name, "r2")
        label = Text.assemble(name, (f" {target.unit}", "dim"))
        table.add_row(label, *cells, _cell(r2, digits=3))
    return table


def _table(title: str | Text) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def _cell(value: float | None, best: bool = False, digits: int | None = None) -> Text:
    if value is None:
        return Text("–", style="dim")
    text = f"{value:.{digits}f}" if digits is not None else f"{value:#.4g}"
    return Text(text, style="bold green" if best else "")


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print the verdict rule by rule: what failed, or else the target nearest to failing."""
    style = "bold green" if verdict.outcome == "pass" else "bold red"
    console.print(Text.assemble("Verdict: ", (verdict.outcome, style), style="bold"))
    for rule in dict.fromkeys(r.rule for r in verdict.rulings):
        rulings = [r for r in verdict.rulings if r.rule == rule]
        failed = [r for r in rulings if not r.passed]
        held = f"  holds for {len(rulings) - len(failed)} of {len(rulings)}"
        count = "" if rulings[0].target == "all" else held
        console.print(Text.assemble(" ", _mark(failed), " ", rule, (count, "dim")))
        for ruling in failed or [min(rulings, key=_room)]:
            where = "" if ruling.target == "all" else f"{ruling.target}: "
            console.print(f"     {where}{ruling.reason}", style="dim", markup=False)


def _room(ruling: Ruling) -> float:
    """Return how far a value is from its limit, as a share of the limit."""
    if ruling.value is None or not ruling.limit:
        return float("inf")
    return abs(1 - ruling.value / ruling.limit)


def _mark(failed: list[Ruling]) -> Text:
    if not failed:
        return Text("✔", style="green")
    if any(r.blocks for r in failed):
        return Text("✘", style="bold red")
    return Text("⚠", style="yellow")


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
    look_next(console, links)


def _outcome(publication: Publication) -> str:
    """Return what became of the candidate, in rich's markup."""
    model, number, as_of = publication.model, publication.version, publication.as_of
    if number is None:
        done = "kept" if as_of else "published"
        return f"[bold red]Blocked[/]: nothing was {done}; the champion stays."
    if as_of:
        kept = f"[bold green]Kept[/] {model} version {number}, as of {as_of}"
        return f"{kept}: [bold]models:/{model}/{number}[/]; the champion stays."
    address = f"[bold]models:/{model}@champion[/]"
    return f"[bold green]Published[/] {model} version {number}: {address}"


def look_next(console: Console, links: dict[str, str]) -> None:
    """Print where to look next, one address a line."""
    console.print("\nWhere to look next", style="bold")
    for name, address in links.items():
        console.print(f"  {name:<12} {address}", markup=False, soft_wrap=True)


def contract_table(files: dict[str, tuple[Path, Contract | str]]) -> Table:
    """Return every contract: dataset, targets, schedule and file, or what is wrong with it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("dataset", no_wrap=True, style="bold")
    table.add_column("what it holds", overflow="fold")
    for name, (file, contract) in files.items():
        if isinstance(contract, str):
            table.add_row(name, Text(contract, style="red"))
            continue
        schedule = contract.schedule
        when = f"{schedule.cron} {schedule.timezone}" if schedule else "when asked"
        about = [
            contract.description,
            f"targets   {', '.join(contract.targets)}",
            f"schedule  {when}",
            f"file      {file}",
        ]
        table.add_row(name, Text("\n".join(about)))
    return table


def run_table(runs: list[Run]) -> Table:
    """Return the last runs of a dataset, newest first."""
    table = _table("Last runs")
    table.add_column("run", no_wrap=True)
    for column in ("outcome", "version", "failed rulings"):
        table.add_column(column, overflow="fold")
    for run in runs:
        verdict = run.publication.verdict
        failed = "; ".join(f"{r.target}: {r.rule}" for r in verdict.rulings if not r.passed)
        version = run.publication.version or "–"
        table.add_row(run.id, _outcome_word(run), version, failed or "none")
    return table


def _outcome_word(run: Run) -> str:
    """Return a run's outcome in a word or, where it was made as of a day, with the day."""
    as_of = run.publication.as_of
    if as_of is None:
        return run.outcome
    return f"{'kept' if run.publication.version else run.outcome}, as of {as_of}"


LISTED = 12
"""Deployments that are listed by name; of more, the number is told."""


def show_deployed(console: Console, schedules: dict[str, str], unusable: dict[str, str]) -> None:
    """Print deployments with their schedules, and contracts that cannot be deployed."""
    for name, when in list(schedules.items())[:LISTED]:
        console.print(Text.assemble(("✔", "green"), f" {name}   ", (when, "dim")))
    if len(schedules) > LISTED:
        console.print(f"  and {len(schedules) - LISTED} more deployments")
    for dataset, fault in unusable.items():
        console.print(f"[red]✘[/] {dataset} is not deployed: its contract cannot be used")
        console.print(fault, style="dim", markup=False)


def show_result(console: Console, result: Result) -> None:
    """Print what came of one dataset of many."""
    mark = ("✔", "green") if result.code == 0 else ("✘", "bold red")
    took = f"{result.seconds:6.1f} s  " if result.seconds else "reused    "
    line = Text.assemble(mark, " ", (result.dataset, "bold"), "  ", (took, "dim"), result.outcome)
    console.print(line, soft_wrap=True)
    if result.code:
        console.print(f"    {result.said}", style="dim", markup=False, soft_wrap=True)


def fleet_table(results: Sequence[Result]) -> Table:
    """Return what came of many datasets, the gravest first."""
    table = _table(f"{len(results)} dataset{'s' * (len(results) != 1)}")
    table.add_column("dataset", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("what happened", overflow="fold")
    for r in sorted(results, key=lambda r: (r.code == 0, r.dataset)):
        seconds = f"{r.seconds:.1f}" if r.seconds else "–"
        first = " ".join(line.strip(" -") for line in r.said.splitlines()[:2])
        style = "" if r.code == 0 else "red"
        table.add_row(r.dataset, Text(r.outcome, style=style), seconds, Text(first))
    return table
