"""`polycast doctor`: what is wrong with an installation, and how to mend it.

Findings are shown one by one, as they are known. No check raises: a fault of a check is a finding.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows import checks, reach
from flows.checks import Finding
from tasks.addresses import clean

Check = Callable[[], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "Python": checks.python,
    "packages": checks.packages,
    "clock": checks.clock,
    "contracts": checks.contracts,
    "storage root": reach.root,
    "disk": reach.disk,
    "registry": reach.registry,
    "ports": reach.ports,
    "server": reach.server,
    "Prefect": checks.application,
    "Keras": checks.framework,
}
"""In the order in which they are shown: the quick ones first."""
SLOW = ("Keras", "Prefect", "server", "registry", "storage root")
"""Those that wait for a process of their own, the slowest first."""
AT_ONCE = 3
MARKS = {"fine": ("✔", "green"), "note": ("–", "yellow"), "wrong": ("✘", "bold red")}
WIDTH = max(map(len, CHECKS))


def diagnose(console: Console) -> bool:
    """Show what every check finds and what to mend; return whether a retrain would work here."""
    wrong, notes = 0, 0
    with console.status("") as status:
        for finding in findings(lambda part: status.update(f"{part} …")):
            wrong += finding.state == "wrong"
            notes += finding.state == "note"
            console.print(_line(finding))
    console.print()
    console.print(_sentence(wrong, notes))
    return not wrong


def findings(tell: Callable[[str], None] = lambda part: None) -> Iterator[Finding]:
    """Yield what each check finds, without secrets; `tell` hears which check is waited for."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {part: pool.submit(examined, part, CHECKS[part]) for part in SLOW}
        for part, check in CHECKS.items():
            tell(part)
            yield from begun[part].result() if part in begun else examined(part, check)


def examined(part: str, check: Check) -> list[Finding]:
    """Return what a check finds. Where it raises, that is its last finding."""
    found = []
    try:
        for finding in check():
            found.append(finding)  # those before a fault are kept
    except Exception as fault:
        said = f"the check itself failed: {type(fault).__name__}: {fault}"
        found.append(
            Finding(part, "wrong", said, "report it, with this line; the other checks stand")
        )
    return [replace(f, said=clean(f.said), mend=clean(f.mend)) for f in found]


def _line(finding: Finding) -> Table:
    """Return a finding as one line, or a few where there is little room, and its mend below."""
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=1)
    line.add_column(width=WIDTH, no_wrap=True)
    line.add_column(overflow="fold")
    mark, style = MARKS[finding.state]
    line.add_row(Text(mark, style), Text(finding.part, "bold"), Text(finding.said))
    if finding.mend:
        line.add_row("", "", Text(f"→ {finding.mend}", "" if finding.state == "wrong" else "dim"))
    return line


def _sentence(wrong: int, notes: int) -> Text:
    if wrong:
        many = f"{wrong} things" if wrong > 1 else "1 thing"
        return Text(f"{many} to mend (✘) before a retrain works here.", "bold red")
    aside = f" {notes} note{'s' if notes > 1 else ''} (–) on what is not needed." if notes else ""
    return Text.assemble(("A retrain works here.", "bold green"), (aside, "dim"))
