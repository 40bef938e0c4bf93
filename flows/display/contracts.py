"""Contracts and their deployments."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract

LISTED = 12
"""Deployments that are listed by name; of more, the number is told."""


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


def show_deployed(console: Console, schedules: dict[str, str], unusable: dict[str, str]) -> None:
    """Print deployments with their schedules, and contracts that cannot be deployed."""
    for name, when in list(schedules.items())[:LISTED]:
        console.print(Text.assemble(("✔", "green"), f" {name}   ", (when, "dim")))
    if len(schedules) > LISTED:
        console.print(f"  and {len(schedules) - LISTED} more deployments")
    for dataset, fault in unusable.items():
        console.print(f"[red]✘[/] {dataset} is not deployed: its contract cannot be used")
        console.print(fault, style="dim", markup=False)
