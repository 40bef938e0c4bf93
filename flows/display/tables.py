"""How tables look in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text


def titled_table(title: str | Text) -> Table:
    """Return an empty table without lines between its rows."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
