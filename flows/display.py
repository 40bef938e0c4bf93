"""What the terminal shows of contracts, runs and verdicts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from flows.names import how_to_decide
from flows.results import WAITING_CODE, Result
from tasks.records import Approval, Publication, Ruling, Run, Scores, Verdict

OTHERS = ("champion", "independent", "persistence", "ridge", "trees", "mean")
"""The models beside the candidate in the terminal's table; the report has them all."""


SAME_ROWS = 0.99
"""A model that answers this share of the candidate's rows is told no note."""
MOST_NOTES = 6
MOST_TARGETS = 40
"""How many targets the table has at most: of more, those with the least R²."""
MOST_FAILED = 12
"""How many targets that fail a rule are told one by one; the report has all."""


def metric_table(contract: Contract, scores: Scores) -> Table:
    """Return RMSE per target in its unit, the candidate's beside every other model's."""
    others = [m for m in OTHERS if m in scores.models]
    shown, every = _shown(contract, scores), len(contract.target_columns)
    fewer = f": the {len(shown)} of {every} targets with the least R²; the report has all"
    title = "RMSE on the test rows, in the target's unit"
    table = _table(title + (fewer if len(shown) < every else ""))
    table.add_column("target", overflow="fold")  # where there is little room: no number is cut
    for model in ("candidate", *others):
        heading = scores.opponent if model == "champion" else model
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("R²", justify="right", no_wrap=True)
    notes = []
    for name in shown:
        unit = contract.target_columns[name].unit_words
        values = {m: scores.of(m, name, "rmse") for m in ("candidate", *others)}
        known = [v for v in values.values() if v is not None]
        cells = {m: _cell(v, v is not None and v == min(known)) for m, v in values.items()}
        for model, note in _fewer_rows(scores, name, others):
            cells[model].append("*", style="dim")
            notes.append(f"* {name}: {note}")
        r2 = scores.of("candidate", name, "r2")
        label = Text.assemble(name, (f" {unit}", "dim"))
        table.add_row(label, *cells.values(), _cell(r2, digits=3))
    table.caption = "\n".join(notes[:MOST_NOTES]) or None
    return table


def _shown(contract: Contract, scores: Scores) -> list[str]:
    """Return the targets that the table has, in the contract's order."""

    def fit(name: str) -> float:
        found = scores.of("candidate", name, "r2")
        return math.inf if found is None else found

    worst = set(sorted(contract.target_columns, key=fit)[:MOST_TARGETS])
    return [name for name in contract.target_columns if name in worst]


def _fewer_rows(scores: Scores, target: str, models: list[str]) -> Iterator[tuple[str, str]]:
    """Yield models whose answers miss many rows of a target, and how the candidate does on theirs.

    Their errors cannot be held against one another as they stand in the table.
    """
    rows = {s.model: s.rows for s in scores.scores if s.target == target and s.fold == 0}
    for score in (s for s in scores.scores if s.target == target and s.fold == 0):
        if score.model in models and score.rows < SAME_ROWS * rows.get("candidate", 0):
            own = score.candidate.get("rmse")
            if own is not None:
                said = f"{score.model} answers {score.rows:,} of {rows['candidate']:,} rows"
                yield score.model, f"{said}, where the candidate has {own:#.4g}"


def _table(title: str | Text) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def _cell(value: float | None, best: bool = False, digits: int | None = None) -> Text:
    if value is None:
        return Text("–", style="dim")
    text = f"{value:.{digits}f}" if digits is not None else f"{value:#.4g}"
    return Text(text, style="bold green" if best else "")


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print the verdict rule by rule: what failed the most, or else the target nearest to it."""
    style = {"pass": "bold green", "needs approval": "bold yellow"}.get(verdict.outcome, "bold red")
    decided = f", {verdict.decided}" if verdict.decided else ""
    console.print(Text.assemble("Verdict: ", (verdict.outcome, style), decided, style="bold"))
    for rule in dict.fromkeys(r.rule for r in verdict.rulings):
        rulings = [r for r in verdict.rulings if r.rule == rule]
        failed = [r for r in rulings if not r.passed]
        silent = [r for r in rulings if r.passed and r.value is None and r.target != "all"]
        told = [r for r in rulings if r not in silent] or rulings
        held = f"  holds for {len(told) - len(failed)} of {len(told)}"
        count = "" if rulings[0].target == "all" else held
        console.print(Text.assemble(" ", _mark(failed), " ", rule, (count, "dim")))
        lines = _failed(failed) if failed else _lines([min(told, key=_room)])
        if silent and told is not rulings:
            lines.append(f"not judged: {_named(silent)}{silent[0].reason}")
        for line in lines:
            console.print(f"     {line}", style="dim", markup=False)


def _failed(rulings: list[Ruling]) -> list[str]:
    """Return the reasons of what failed: of many the worst, and how many there are besides."""
    lines = _lines(rulings)
    if len(lines) <= MOST_FAILED:
        return lines
    worst = _lines(sorted(rulings, key=_room, reverse=True))[:MOST_FAILED]
    return [*worst, f"and {len(lines) - MOST_FAILED:,} more, which the report names"]


def _lines(rulings: list[Ruling]) -> list[str]:
    """Return the reasons, each once with the targets that it is of."""
    reasons = dict.fromkeys(r.reason for r in rulings)
    return [f"{_named([r for r in rulings if r.reason == why])}{why}" for why in reasons]


def _named(rulings: list[Ruling]) -> str:
    """Return the targets of rulings before a colon: the first, and how many there are beside it."""
    first, more = rulings[0].target, len(rulings) - 1
    others = f" and {more} more" if more else ""
    return "" if first == "all" else f"{first}{others}: "


def _room(ruling: Ruling) -> float:
    """Return how far a value is from its limit, as a share of the limit."""
    if ruling.value is None or not ruling.limit:
        return float("inf")
    return abs(1 - ruling.value / ruling.limit)


def _mark(failed: list[Ruling]) -> Text:
    if not failed:
        return Text("✔", style="green")
    blocking = [r for r in failed if r.blocks]
    if not blocking:
        return Text("⚠", style="yellow")
    if all(r.unsure for r in blocking):  # the test rows cannot tell
        return Text("?", style="bold yellow")
    return Text("✘", style="bold red")


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
    if run.outcome == "waiting":
        _how_to_decide(console, run)
    look_next(console, links)


def _outcome(publication: Publication) -> str:
    """Return what became of the candidate, in rich's markup."""
    model, number, as_of = publication.model, publication.version, publication.as_of
    if number is None:
        done = "kept" if as_of else "published"
        if publication.outcome == "waiting":
            return f"[bold yellow]Waits for approval[/]: nothing is {done} until somebody decides."
        if publication.held is not None:
            kept, why = publication.held.version, escape(publication.held.reason)
            words = f"[bold red]Held[/] {model} version {kept}; the champion stays."
            return f"{words} It failed its proof:\n  {why}"
        word = publication.outcome.capitalize()
        return f"[bold red]{word}[/]: nothing was {done}; the champion stays."
    if as_of:
        kept = f"[bold green]Kept[/] {model} version {number}, as of {as_of}"
        return f"{kept}: [bold]models:/{model}/{number}[/]; the champion stays."
    address = f"[bold]models:/{model}@champion[/]"
    return f"[bold green]Published[/] {model} version {number}: {address}"


def show_waiting(console: Console, runs: Sequence[Run]) -> None:
    """Print the runs that wait for a person, and how to decide of each."""
    for run in runs:
        console.print(f"[bold yellow]Waits for approval[/]: run {run.id}")
        _how_to_decide(console, run)


def _how_to_decide(console: Console, run: Run) -> None:
    console.print(f"  {how_to_decide(run.id)}", markup=False, soft_wrap=True)


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


def run_table(runs: Sequence[Run], decisions: Mapping[str, Approval]) -> Table:
    """Return the last runs of a dataset, newest first.

    decisions: what people decided of those that waited, by the run's id.
    """
    table = _table("Last runs")
    table.add_column("run", no_wrap=True)
    for column in ("outcome", "version", "failed rulings"):
        table.add_column(column, overflow="fold")
    for run in runs:
        verdict = run.publication.verdict
        failed = "; ".join(f"{r.target}: {r.rule}" for r in verdict.rulings if not r.passed)
        version = run.publication.version or "–"
        decision = decisions.get(run.id)
        word = f"waited, {decision.decision} by {decision.by}" if decision else _outcome_word(run)
        table.add_row(run.id, word, version, failed or "none")
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
    marks = {0: ("✔", "green"), WAITING_CODE: ("?", "bold yellow")}
    mark = marks.get(result.code, ("✘", "bold red"))
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
