"""What watching found, as tables: rows of text for the terminal and for Markdown."""

from collections.abc import Sequence

from tasks.monitor.found import Decay, Moved, Watch

MOST_COLUMNS = 30
"""The most columns that are shown, farthest moved first; the others are counted."""
Rows = list[list[str]]
COLUMNS = ["column", "stability", "distance", "missing", "new labels", "reading"]
TARGETS = ["target", "rmse", "on test rows", "ratio", "95 %", "rows", "reading"]


def column_rows(watch: Watch) -> Rows:
    """Return the table of COLUMNS."""
    return [_column(c) for c in watch.columns[:MOST_COLUMNS]]


def target_rows(watch: Watch) -> Rows:
    """Return the table of TARGETS."""
    return [_target(t) for t in watch.targets]


def more(watch: Watch) -> str:
    """Say how many columns are not shown; empty for none."""
    left = len(watch.columns) - MOST_COLUMNS
    return f"and {left} columns more, which moved less" if left > 0 else ""


def watch_markdown(watch: Watch) -> str:
    """Return all that was found as Markdown."""
    parts = [f"**{watch.summary}**"]
    if watch.note:
        parts.append(watch.note)
    if watch.columns:
        parts += [
            "## Inputs and targets against the train rows",
            _table(COLUMNS, column_rows(watch)),
        ]
        parts.append(more(watch))
    if watch.targets:
        parts += ["## Errors against the test rows", _table(TARGETS, target_rows(watch))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _column(moved: Moved) -> list[str]:
    name = f"{moved.column} (target)" if moved.target else moved.column
    reading = "drifted: " + ", ".join(moved.drifted) if moved.drifted else "stands"
    if moved.labels and "new" in moved.drifted:
        reading += f" ({', '.join(moved.labels)})"
    return [
        name,
        _beside(moved, "stability", ".2f"),
        _beside(moved, "distance", ".2f"),
        _beside(moved, "missing", "+.1%"),
        _number(moved.new, ".1%"),
        reading,
    ]


def _beside(moved: Moved, measure: str, form: str) -> str:
    """Return an effect, and in brackets the greatest in a stretch of the train rows."""
    value = getattr(moved, measure)
    if value is None or measure not in moved.usual:
        return _number(value, form)
    return f"{value:{form}} ({moved.usual[measure]:{form.removeprefix('+')}})"


def _target(decay: Decay) -> list[str]:
    span = "" if decay.low is None else f"{decay.low:.2f} to {decay.high:.2f}"
    unit = f" {decay.unit}" if decay.unit else ""
    return [
        f"{decay.target}{unit}",
        _number(decay.error, ".4g"),
        _number(decay.recorded, ".4g"),
        _number(decay.ratio, ".2f"),
        span,
        f"{decay.rows:,}",
        "decayed" if decay.decayed else decay.note or "holds",
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(head: Sequence[str], rows: Rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


def _plain(text: str) -> str:
    """Return text of rows and contracts so that it is neither a column's end nor HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
