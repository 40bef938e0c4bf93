"""The quarantine as the terminal shows it: rows by reason, and what was released."""

from datetime import datetime

from rich.console import Console

from data_contracts.contract import Contract
from tasks.records import Checked
from tasks.releases import Release, releases
from tasks.storage import root_storage
from tasks.validate import validations
from tasks.wording import rows_of


def show_quarantine(contract: Contract, limit: int) -> None:
    """Print what the last validations set aside, newest first, and the releases."""
    console = Console(highlight=False)
    found = validations(contract.dataset)
    if not found:
        console.print(f"No validation yet: polycast check {contract.dataset}")
        return
    for place, (written, checked) in enumerate(found[:limit]):
        _show(console, written, checked, last=place == 0)
    if len(found) > limit:
        console.print(f"and {len(found) - limit} older validations: --limit {len(found)}")
    for made in releases(contract.dataset):
        console.print(_said(made), markup=False, soft_wrap=True)


def _show(console: Console, written: str, checked: Checked, last: bool) -> None:
    when, rows = _when(datetime.fromisoformat(written)), checked.snapshot.rows
    console.print(f"[bold]{when}[/]  {checked.counted} of {rows:,}")
    for reason in checked.reasons:
        console.print(f"  {reason.rows:>9,}  {reason.expectation}", markup=False, soft_wrap=True)
        for example in reason.examples:
            console.print(f"             {example}", markup=False, soft_wrap=True)
    if last and checked.quarantined:
        file = root_storage().address(checked.place, "quarantine.parquet")
        console.print(f"  whole rows  {file}", markup=False, soft_wrap=True)


def _said(made: Release) -> str:
    counts = "; ".join(f"{reason} ({rows:,})" for reason, rows in made.reasons.items())
    return f"released {_when(made.when)} by {made.by}: {counts}: {made.why}"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def show_release(contract: Contract, made: Release) -> None:
    """Print what was released, and what makes it count."""
    console = Console(highlight=False)
    rows = len({key for key, _ in made.offences})
    console.print(f"[bold green]{contract.dataset}: {rows_of(rows)} released[/]")
    for reason, count in made.reasons.items():
        console.print(f"  {count:>9,}  {reason}", markup=False, soft_wrap=True)
    console.print(f"They go on from the next run on: polycast retrain {contract.dataset}")
