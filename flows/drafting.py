"""The draft of a contract as the terminal makes and shows it."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tasks.draft import Draft, Wish, draft, save
from tasks.errors import WrongRequest
from tasks.wording import rows_of

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
FOLDER = Path("data_contracts")


def draft_here(
    data: str,
    targets: Iterable[str],
    time: str | None,
    group: str | None,
    key: Iterable[str],
    out: Path | None,
    force: bool,
) -> None:
    """Draft a contract, write it, and say what was found. Raises DataError and WrongRequest."""
    file = out or FOLDER / f"{dataset_of(data)}.yaml"
    if file.suffix != ".yaml" or not _NAME.fullmatch(file.stem):
        raise WrongRequest(
            f"--out {file}: expected a file named for its dataset, in lower-case letters, digits "
            "and underscores, such as data_contracts/plant.yaml"
        )
    names, keys = tuple(split(targets)), tuple(split(key))
    if not names:
        raise WrongRequest("--targets: expected the columns to predict, such as --targets a,b")
    wish = Wish(data, file.stem, file, names, time, group, keys, force)
    made = draft(wish)
    save(made, force)
    show_draft(made, wish.named)


def dataset_of(data: str) -> str:
    """Return a dataset's name for a file, a folder or an address."""
    last = re.split(r"[/\\]", data.rstrip("/\\"))[-1]
    plain = re.sub(r"[^a-z0-9]+", "_", last.split(".")[0].lower()).strip("_")
    named = plain if plain[:1].isalpha() else f"data_{plain}".rstrip("_")
    return named[:63]


def split(texts: Iterable[str]) -> Iterable[str]:
    """Return the names in texts such as `a,b`, each once; one that holds a comma is quoted, as in a
    CSV file: `"a,b",c`. Raises WrongRequest where a quote is not closed."""
    try:
        rows = [
            row for text in texts for row in csv.reader([text], skipinitialspace=True, strict=True)
        ]
    except csv.Error as error:
        raise WrongRequest(
            f"--targets and --key: expected names such as a,b or '\"a,b\",c', came one that is not "
            f"so quoted: {error}"
        ) from None
    return dict.fromkeys(n.strip() for row in rows for n in row if n.strip())


def show_draft(made: Draft, named: str) -> None:
    """Print where a draft lies, what was found to warn of, and what comes next."""
    console = Console(highlight=False)
    left = f"; left out: {made.left:,}" if made.left else ""
    found = f"{rows_of(made.rows)}, {made.features:,} features{left}"
    console.print(Text.assemble((str(made.file), "bold green"), f"  {found}"), soft_wrap=True)
    for warning in made.warnings:
        said = Text.assemble(("warning", "yellow"), f": {warning}")
        console.print(said, soft_wrap=True)
    console.print('Write the units where it says "?", then:')
    console.print(f"  polycast check {named}", markup=False, soft_wrap=True)
