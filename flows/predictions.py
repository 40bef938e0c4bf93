"""A prediction as the terminal runs it: no server, a bar while it goes on, and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from data_contracts.contract import Contract
from flows.console import quiet_native
from tasks.predict import Prediction, Request, predict_rows
from tasks.predict import Progress as Told

MOST_REASONS = 10


def predict_here(contract: Contract, request: Request) -> None:
    """Predict in this process, and show how it went."""
    quiet_native()
    console = Console(highlight=False)
    with _bar(console) as told:
        found = predict_rows(contract, request, told)
    show(console, found)


@contextmanager
def _bar(console: Console) -> Iterator[Told]:
    columns = TextColumn("  predict"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    rows = TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows")
    drawn = console.is_terminal  # elsewhere a bar leaves an empty line behind
    with Progress(*columns, rows, console=console, transient=True, disable=not drawn) as bar:
        task = bar.add_task("predict", total=None, start=False, visible=False)

        def told(done: int, every: int) -> None:
            if not bar.tasks[0].started:
                bar.start_task(task)
            bar.update(task, completed=done, total=every, visible=drawn)

        yield told


def show(console: Console, found: Prediction) -> None:
    """Print what came of a prediction."""
    asked = f", with intervals of {found.interval:g}" if found.interval else ""
    console.print(f"[bold green]{found.summary}[/]{asked}, in {found.seconds:.1f} s")
    if found.resumed:
        console.print(f"  resumed      a run that had read {found.resumed:,} rows")
    for reason in found.reasons[:MOST_REASONS]:
        what = "quarantined" if found.quarantine else "marked"
        count = f"{reason.rows:,} row{'s' * (reason.rows != 1)}"
        line = f"  {what:<12} {count}: {reason.expectation}"
        console.print(line, markup=False, soft_wrap=True)
    if len(found.reasons) > MOST_REASONS:
        console.print(f"  and {len(found.reasons) - MOST_REASONS} more reasons")
    for name, file in (("predictions", found.out), ("quarantine", found.quarantine)):
        if file:
            console.print(f"  {name:<12} {file}", markup=False, soft_wrap=True)
