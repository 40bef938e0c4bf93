"""CSV files whose lines differ in how many cells they have.

DuckDB guesses what parts a line's cells. Where few lines are ragged it finds no guess that fits
all of them, and takes whole lines for cells: one column, named as the whole header.
"""

import csv
import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from tasks.errors import DataError
from tasks.sources.files import Files

DELIMITERS = ",;\t|"


def refuse_ragged(files: Files, found: Collection[str]) -> None:
    """Raise DataError for the first ragged line of a file whose header is one of the columns."""
    if not any(mark in name for name in found for mark in DELIMITERS):
        return
    for path in files.paths:
        with _text(files, path) as text, suppress(csv.Error):
            header = text.readline().rstrip("\r\n")
            delimiter = max(DELIMITERS, key=header.count)
            if header in found and delimiter in header:
                text.seek(0)
                _refuse_line(path, text, delimiter)


@contextmanager
def _text(files: Files, path: str) -> Iterator[io.TextIOWrapper]:
    """Yield a file's text, unpacked where it is packed."""
    from fsspec.compression import compr
    from fsspec.utils import infer_compression

    unpacked = compr.get(infer_compression(path), lambda file, **_: file)
    with files.open(path) as file:
        yield io.TextIOWrapper(unpacked(file, mode="rb"), "utf-8-sig", "replace", newline="")


def _refuse_line(path: str, text: io.TextIOWrapper, delimiter: str) -> None:
    lines = csv.reader(text, delimiter=delimiter)
    width = len(next(lines))
    for cells in lines:
        if cells and len(cells) != width:
            raise DataError(
                f"{path} cannot be read: line {lines.line_num}: expected {width} cells as in the "
                f"header, came {len(cells)}; mend the line, or quote a cell that holds "
                f"{delimiter!r}"
            )
