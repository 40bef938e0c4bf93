"""The table of errors: the candidate beside the champion and the baselines."""

import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from data_contracts.contract import Contract
from flows.display.tables import titled_table
from tasks.records import Scores

OTHERS = ("champion", "independent", "persistence", "ridge", "trees", "mean")
"""The models beside the candidate in the terminal's table; the report has them all."""
SAME_ROWS = 0.99
"""A model that answers this share of the candidate's rows is told no note."""
MOST_NOTES = 6
MOST_TARGETS = 40
"""How many targets the table has at most: of more, those with the least R²."""


def metric_table(contract: Contract, scores: Scores) -> Table:
    """Return RMSE per target in its unit, the candidate's beside every other model's."""
    others = [m for m in OTHERS if m in scores.models]
    shown, every = _shown(contract, scores), len(contract.target_columns)
    fewer = f": the {len(shown)} of {every} targets with the least R²; the report has all"
    title = "RMSE on the test rows, in the target's unit"
    table = titled_table(title + (fewer if len(shown) < every else ""))
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


def _cell(value: float | None, best: bool = False, digits: int | None = None) -> Text:
    if value is None:
        return Text("–", style="dim")
    text = f"{value:.{digits}f}" if digits is not None else f"{value:#.4g}"
    return Text(text, style="bold green" if best else "")
