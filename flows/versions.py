"""Versions as the terminal shows them: listed, moved, compared, trained again, pruned."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from flows.display.tables import titled_table
from tasks.models.comparing import Change, Comparison
from tasks.models.entries import Entry, entries
from tasks.models.pruning import Fate
from tasks.models.words import against_baselines, against_champion
from tasks.uses import uses

if TYPE_CHECKING:
    from flows.reproducing import Reproduction
    from tasks.journal import Move

SHOWN = 20
"""How many versions are listed beside those with an alias: each is read from the registry."""
SHOWN_PACKAGES = 12
DASH = "–"


def show_versions(contract: Contract) -> None:
    """Print the versions of a dataset, newest first."""
    console = Console(highlight=False)
    found = entries(contract)
    if not found:
        console.print(f"No versions yet: polycast retrain {contract.dataset}")
        return
    shown = [e for i, e in enumerate(found) if i < SHOWN or e.aliases]
    table = titled_table(f"Versions of {contract.registered_model}")
    table.add_column("version", no_wrap=True)
    table.add_column("age", no_wrap=True, justify="right")
    for name in ("against the best baseline", "against the champion of then"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("state", overflow="fold")
    for entry in shown:
        table.add_row(*_row(entry, datetime.now(UTC)))
    table.caption = "RMSE over all targets (against the champion: the gate's metric, critical ones)"
    console.print(table)
    if len(shown) < len(found):
        console.print(f"and {len(found) - len(shown)} older ones without an alias")


def _row(entry: Entry, now: datetime) -> Sequence[Text]:
    name = Text(entry.version)
    for alias in entry.aliases:
        name.append(f" {alias}", "bold green" if alias == "champion" else "dim")
    verdict = entry.verdict
    gain = against_baselines(verdict.scores) if verdict else None
    state = [entry.state, *(f"in use: {u.summary}" for u in uses(entry.model, entry.version))]
    return [
        name,
        Text(_age(entry.age(now))),
        Text(DASH if gain is None else f"{gain:+.1%}"),
        Text(against_champion(verdict) if verdict else DASH),
        Text(verdict.outcome if verdict else entry.tags.get("polycast.outcome", DASH)),
        Text("; ".join(state), "" if entry.complete else "yellow"),
    ]


def _age(days: float) -> str:
    if days >= 2:
        return f"{days:.0f} d"
    return f"{days * 24:.0f} h" if days * 24 >= 2 else f"{days * 1440:.0f} min"


def show_move(contract: Contract, number: str, made: "Move | None") -> None:
    """Print what came of a promotion or a rollback."""
    console = Console(highlight=False)
    if made is None:
        which = f"version {number}" if number else "that version"
        console.print(f"{contract.registered_model}: {which} is champion already")
        return
    console.print(f"[bold green]Champion[/]: {made.model} version {made.version}", end="")
    console.print(f", in place of version {made.before}" if made.before else "")
    console.print(f"  move {made.number}: {made.summary}", markup=False, soft_wrap=True)
    if made.kind == "rollback":
        back = f"polycast promote {contract.dataset} {made.before}"
        console.print(
            f"  a retrain does not publish version {made.before}'s candidate again; {back} does",
            markup=False,
            soft_wrap=True,
        )


def show_comparison(found: Comparison, old: str, new: str) -> None:
    """Print how two versions differ."""
    console = Console(highlight=False)
    if found.contract:
        console.print(_changes("Contract", found.contract, old, new))
    elif not found.missing:
        console.print("[bold]Contract[/]: the same\n")
    console.print(_changes("Data", found.data, old, new))
    if found.errors:
        console.print(_errors(found, old, new))
    for gone in found.missing:
        console.print(f"[yellow]{gone}[/]")


def _changes(title: str, changes: Sequence[Change], old: str, new: str) -> Table:
    table = titled_table(title)
    table.add_column("", overflow="fold")
    for number in (old, new):
        table.add_column(f"version {number}", overflow="fold")
    for change in changes:
        style = "" if change.old != change.new else "dim"
        table.add_row(*(Text(t, style) for t in (change.name, change.old, change.new)))
    return table


def _errors(found: Comparison, old: str, new: str) -> Table:
    rows = "on the same test rows" if found.same_rows else "each on the test rows of its own run"
    table = titled_table(f"RMSE in the target's unit, {rows}")
    table.add_column("target", overflow="fold")
    for name in (f"version {old}", f"version {new}", "change"):
        table.add_column(name, justify="right")
    for e in found.errors:
        known = e.old is not None and e.new is not None and e.old > 0
        change = f"{e.new / e.old - 1:+.1%}" if known else DASH  # type: ignore[operator]
        numbers = (DASH if v is None else f"{v:#.4g}" for v in (e.old, e.new))
        table.add_row(Text.assemble(e.target, (f" {e.unit}", "dim")), *numbers, change)
    return table


def show_reproduction(found: "Reproduction") -> None:
    """Print whether a version that was trained again is the same."""
    console = Console(highlight=False)
    name = f"{found.entry.model} version {found.entry.version}"
    word = "[bold green]The same[/]" if found.identical else "[bold red]Not the same[/]"
    console.print(f"{word}: {name}, trained again in {found.seconds:.1f} s; nothing was published")
    for member in found.members:
        which = f"member {member.member + 1}: {member.weights:,} weights"
        if member.largest is None:
            said = f"{which} of another shape"
        elif member.largest == 0.0:
            said = f"{which}, all the same bits" if member.identical else f"{which}, none differs"
        else:
            said = f"{which}, the largest difference is {member.largest:.3g}"
        said += "" if member.fitted else "; scalers, vocabularies or limits differ"
        console.print(f"  {said}")
    if found.device[0] != found.device[1]:
        console.print(f"  device: trained on {found.device[0]}, and now on {found.device[1]}")
    _show_packages(console, found)


def _show_packages(console: Console, found: "Reproduction") -> None:
    if found.packages is None:
        console.print("  the environment that it was made in was not recorded")
        return
    if not found.packages:
        console.print("  made in the same environment: Python, platform and every package")
    for change in found.packages[:SHOWN_PACKAGES]:
        console.print(f"  {change.name}: made with {change.old}, here {change.new}", markup=False)
    if len(found.packages) > SHOWN_PACKAGES:
        console.print(f"  and {len(found.packages) - SHOWN_PACKAGES} more packages that differ")


def waited_for(contract: Contract) -> dict[str, str]:
    """Return the versions that candidates which wait for approval were compared with, and why
    they must stay."""
    from flows.waiting import undecided

    waiting = [(run, run.publication.verdict.scores) for run in undecided(contract.dataset)]
    words = "run {} waits for approval, and was compared with it"
    return {s.champion: words.format(run.id) for run, s in waiting if s.champion}


def show_pruned(found: Sequence[Fate], dry_run: bool) -> None:
    """Print what was removed, and why the other versions stay."""
    console = Console(highlight=False)
    gone = sum(fate.removed for fate in found)
    word = "would be removed" if dry_run else "removed"
    console.print(f"[bold]{gone} of {len(found)} versions {word}[/]")
    for fate in found:
        mark, style = (word, "bold red") if fate.removed else ("stays", "green")
        console.print(Text.assemble(f"  version {fate.version}  ", (mark, style), f"  {fate.why}"))
