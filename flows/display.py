"""What the terminal shows of contracts, runs and verdicts."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from tasks.records import Run, Scores, Verdict


def metric_table(contract: Contract, scores: Scores) -> Table:
    """Return RMSE per target in its unit, the candidate's beside every other model's."""
    others = [m for m in ("champion", "persistence", "ridge", "mean") if m in scores.models]
    table = Table(title="RMSE on the test rows", title_justify="left", title_style="bold")
    table.add_column("target")
    for model in ("candidate", *others):
        table.add_column(model, justify="right")
    table.add_column("unit")
    table.add_column("MAE", justify="right")
    table.add_column("R²", justify="right")
    for name, target in contract.target_columns.items():
        values = {m: scores.of(m, name, "rmse") for m in ("candidate", *others)}
        known = [v for v in values.values() if v is not None]
        cells = [_cell(v, v is not None and v == min(known)) for v in values.values()]
        mae, r2 = scores.of("candidate", name, "mae"), scores.of("candidate", name, "r2")
        table.add_row(name, *cells, target.unit, _cell(mae), _cell(r2, digits=3))
    return table


def _cell(value: float | None, best: bool = False, digits: int | None = None) -> Text:
    if value is None:
        return Text("–", style="dim")
    text = f"{value:.{digits}f}" if digits is not None else f"{value:.4g}"
    return Text(text, style="bold green" if best else "")


def verdict_table(verdict: Verdict) -> Table:
    """Return the verdict rule by rule."""
    style = "bold green" if verdict.outcome == "pass" else "bold red"
    title = Text.assemble("Verdict: ", (verdict.outcome, style))
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("", "rule", "target", "numbers"):
        table.add_column(column, overflow="fold")
    for r in verdict.rulings:
        mark = ("✔", "green") if r.passed else (("✘", "red") if r.blocks else ("⚠", "yellow"))
        table.add_row(Text(*mark), Text(r.rule), Text(r.target), Text(r.reason))
    return table


def show_run(console: Console, contract: Contract, run: Run, links: dict[str, str]) -> None:
    """Print a run's errors, its verdict, what was published, and where to look next."""
    publication = run.publication
    verdict = publication.verdict
    console.print()
    console.print(metric_table(contract, verdict.scores))
    console.print()
    console.print(verdict_table(verdict))
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
    table = Table()
    for column in ("dataset", "what it is", "targets", "schedule", "file"):
        table.add_column(column, overflow="fold")
    for name, (file, contract) in files.items():
        if isinstance(contract, str):
            table.add_row(name, Text(contract, style="red"), "", "", str(file))
            continue
        schedule = contract.schedule
        when = f"{schedule.cron} {schedule.timezone}" if schedule else "when asked"
        targets = ", ".join(contract.targets)
        table.add_row(name, contract.description, targets, when, str(file))
    return table


def run_table(runs: list[Run]) -> Table:
    """Return the last runs of a dataset, newest first."""
    table = Table(title="Last runs", title_justify="left", title_style="bold")
    for column in ("run", "outcome", "verdict", "version", "failed rulings"):
        table.add_column(column, overflow="fold")
    for run in runs:
        verdict = run.publication.verdict
        failed = "; ".join(f"{r.target}: {r.rule}" for r in verdict.rulings if not r.passed)
        version = run.publication.version or "–"
        table.add_row(run.id, run.outcome, verdict.outcome, version, failed or "none")
    return table
