"""What the terminal shows of contracts, runs and verdicts."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from tasks.records import Ruling, Run, Scores, Verdict


def metric_table(contract: Contract, scores: Scores) -> Table:
    """Return RMSE per target in its unit, the candidate's beside every other model's."""
    order = ("champion", "independent", "persistence", "ridge", "mean")
    others = [m for m in order if m in scores.models]
    table = _table("RMSE on the test rows, in the target's unit")
    table.add_column("target", overflow="fold")  # where there is little room: no number is cut
    for model in ("candidate", *others):
        table.add_column(model, justify="right", no_wrap=True)
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
    if publication.version is None:
        console.print("[bold red]Blocked[/]: nothing was published; the champion stays.")
    else:
        console.print(
            f"[bold green]Published[/] {publication.model} version {publication.version}: "
            f"[bold]models:/{publication.model}@champion[/]"
        )
    look_next(console, links)


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
        table.add_row(run.id, run.outcome, version, failed or "none")
    return table
