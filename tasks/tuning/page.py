"""The page of a study: one HTML file that needs no network, in the style of a run's report."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tasks.report.numbers import aligned, percent
from tasks.report.templates import templates
from tasks.tuning import plots
from tasks.tuning.result import Tuned, best_recipe, changes_text, recipe_diff
from tasks.tuning.study import Study
from tasks.tuning.trial import Trial

MOST_TRIALS = 20
"""The most trials that are listed, the best first."""


def write_page(study: Study, found: Tuned, file: Path) -> None:
    """Write the page of what a study has found so far."""
    page = (
        templates(Path(__file__).parent)
        .get_template("tuning.html.j2")
        .render(
            study=study,
            tuning=study.tuning,
            found=found,
            when=datetime.now(UTC),
            diff=_lines(study, found),
            less=_less(found),
            drawn=list(_drawn(study, found)),
            rows=_rows(study, found),
            seconds=sum(t.seconds for t in study.trials),
            failed=[t for t in study.trials if t.state == "failed"],
        )
    )
    file.write_text(page, "utf-8")


def _less(found: Tuned) -> str:
    """Return how much less error the best recipe has, such as −4.2 %."""
    if found.best is None or not found.own_error:
        return "–"
    return percent(found.best.error / found.own_error - 1)


def _lines(study: Study, found: Tuned) -> list[tuple[str, str]]:
    """Return the diff's lines, each with what it is: added, removed or same."""
    text = recipe_diff(study.contract.recipe, best_recipe(study.contract, found))
    kinds = {"+": "added", "-": "removed"}
    lines = [line for line in text.splitlines() if line[:2] not in ("--", "++", "@@")]
    return [(kinds.get(line[:1], "same"), line) for line in lines]


def _drawn(study: Study, found: Tuned) -> Any:
    """Yield the plots with their headings and what they show in words."""
    trials, space = study.known, study.space
    shares = plots.importances(space, trials)
    named = ", ".join(f"{k} {percent(v, 0, False)}" for k, v in shares.items())
    best = "none is complete" if found.best is None else f"the least is {found.best.error:.4f}"
    yield from _plot("History", plots.history(trials), f"Error by trial; {best}.")
    for svg in plots.fronts(study.trials, found.front, study.tuning.objectives):
        count = f"{len(found.front)} trials that no other beats in all objectives."
        yield from _plot("Trade-off", svg, f"Error against the other objective: {count}")
    words = f"Share of the spread of errors that each field explains: {named}."
    yield from _plot("Importance", plots.importance(shares), words)
    words = "A line per complete trial across the fields' values: the less error, the darker."
    yield from _plot("Parallel coordinates", plots.parallel(space, trials), words)


def _plot(head: str, svg: str | None, words: str) -> Any:
    if svg is not None:
        data = quote(svg.replace("\n", " "), safe=" !'()*+,/:;=?@[]^_`{|}~$")
        yield head, f"data:image/svg+xml,{data}", words


def _rows(study: Study, found: Tuned) -> list[dict[str, Any]]:
    """Return the best trials, and the contract's own, as text."""
    done = sorted(plots.complete(study.known), key=lambda t: t.error)
    own = study.own
    shown = done[:MOST_TRIALS]
    if own in done and own not in shown:
        shown.append(own)
    errors = aligned([t.error for t in shown])
    return [_row(t, e, found) for t, e in zip(shown, errors, strict=True)]


def _row(trial: Trial, error: str, found: Tuned) -> dict[str, Any]:
    latency = trial.values.get("latency")
    return {
        "name": f"{trial.number}" if not trial.study else f"{trial.number}, earlier study",
        "origin": "the contract's own" if trial.origin == "contract" else trial.origin,
        "recipe": changes_text(trial),
        "error": error,
        "latency": None if latency is None else f"{latency:.2f}",
        "parameters": f"{int(trial.values['parameters']):,}",
        "epochs": len(trial.curve),
        "best": trial == found.best,
        "front": not trial.study and trial.number in found.front,
    }
