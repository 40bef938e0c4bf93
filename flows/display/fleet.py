"""What came of many datasets."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.display.tables import titled_table
from flows.results import WAITING_CODE, Result


def show_result(console: Console, result: Result) -> None:
    """Print what came of one dataset of many."""
    marks = {0: ("✔", "green"), WAITING_CODE: ("?", "bold yellow")}
    mark = marks.get(result.code, ("✘", "bold red"))
    took = f"{result.seconds:6.1f} s  " if result.seconds else "reused    "
    line = Text.assemble(mark, " ", (result.dataset, "bold"), "  ", (took, "dim"), result.outcome)
    console.print(line, soft_wrap=True)
    if result.code:
        console.print(f"    {result.said}", style="dim", markup=False, soft_wrap=True)


def fleet_table(results: Sequence[Result]) -> Table:
    """Return what came of many datasets, the gravest first."""
    table = titled_table(f"{len(results)} dataset{'s' * (len(results) != 1)}")
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
