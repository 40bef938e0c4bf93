"""How pages are made from templates: escaped, and with nothing undefined."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.report.numbers import duration

STYLES = Path(__file__).parent
"""Where the report's templates and styles lie."""


def templates(*folders: Path) -> Environment:
    """Return templates from folders, the first that has one first, then from the report's."""
    environment = Environment(
        loader=FileSystemLoader([*folders, STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment
