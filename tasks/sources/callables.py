"""Sources that come as Python callables, registered under the entry-point group
`polycast.sources`; any installed package can bring its own.

A callable takes the contract's `source.options` by name and returns the path of a Parquet or CSV
file, or a Made: rows that it makes, block by block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.section import did_you_mean
from data_contracts.source import PythonSource
from tasks.addresses import clean
from tasks.errors import DataError
from tasks.sources.located import Located
from tasks.sources.tables import from_file

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = "polycast.sources"


@dataclass(frozen=True)
class Made:
    """Rows that a callable makes."""

    identity: str
    """What decides the rows: other rows have another text. It is asked for at every run."""
    batches: "Callable[[], pa.RecordBatchReader]"
    """Returns them."""


def from_callable(source: PythonSource, dataset: str) -> Located:
    """Return what a registered callable yields as a source. Raises DataError."""
    result = _called(source)
    if isinstance(result, Made):
        return Located(source.name, lambda: result.identity, batches=result.batches)
    if not isinstance(result, str | Path):
        came = type(result).__name__
        raise DataError(f"{source.name}: expected the path of a file or a Made, came {came}")
    file = Path(result)
    if not file.is_file():
        raise DataError(f"the source of {dataset} is missing: no file at {file}")
    if file.stat().st_size == 0:
        raise DataError(f"the source of {dataset} is empty: {file} has no bytes")
    return from_file(file)


def _called(source: PythonSource) -> Any:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if source.name not in found:
        raise DataError(
            f"no source is registered as {source.name!r} under the entry-point group {GROUP}. "
            f"{did_you_mean(source.name, list(found))}\n  there are: {', '.join(found) or 'none'}"
        )
    made = found[source.name].load()
    try:
        signature(made).bind(**source.options)
    except TypeError as error:
        raise DataError(f"source.options do not fit {source.name}: {error}") from None
    try:
        return made(**source.options)
    except DataError:
        raise
    except Exception as error:
        words = clean(f"{type(error).__name__}: {error}")
        raise DataError(f"the source {source.name} cannot be read: {words}") from error
