"""`polycast monitor` as the terminal runs it: no server, two tables, no event."""

from collections.abc import Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from flows.console import quiet_native
from tasks.ingest import located, snapshot_now
from tasks.monitor import watch
from tasks.monitor.found import Watch
from tasks.monitor.words import COLUMNS, TARGETS, Rows, column_rows, more, target_rows


def monitor_here(contract: Contract, since: datetime | None) -> None:
    """Watch the champion in this process, and show what was found."""
    quiet_native()
    show(
        Console(highlight=False), watch(contract, snapshot_now(contract, located(contract)), since)
    )


def show(console: Console, found: Watch) -> None:
    """Print what watching found."""
    for title, head, rows in (
        ("Columns against the champion's train rows", COLUMNS, column_rows(found)),
        ("Errors against those on the champion's test rows", TARGETS, target_rows(found)),
    ):
        if rows:
            console.print(_table(title, head, rows))
    for line in filter(None, (more(found), found.note)):
        console.print(line, style="dim")
    style = "yellow" if found.drifted or found.decayed else "green"
    console.print(Text(found.summary, style=f"bold {style}"))


def _table(title: str, head: Sequence[str], rows: Rows) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for i, name in enumerate(head):
        left = i in (0, len(head) - 1)
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in rows:
        bad = row[-1].startswith(("drifted", "decayed"))
        table.add_row(*map(Text, row), style="yellow" if bad else None)
    return table
