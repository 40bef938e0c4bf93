"""Sources: where a contract's rows come from, a file for each kind.

In: a contract. Out: a Located. Raises DataError where there is nothing to read, and says so for a
package that is not installed.
"""

from data_contracts.contract import Contract
from tasks.growing import Kept
from tasks.sources.callables import from_callable
from tasks.sources.cut import NoTime, cut_of
from tasks.sources.databases import from_database
from tasks.sources.files import find_files
from tasks.sources.gridded import from_grids
from tasks.sources.located import Located, opened
from tasks.sources.nycflights import nyc_weather
from tasks.sources.tables import from_tables

__all__ = ["Located", "NoTime", "cut_of", "locate", "nyc_weather", "opened"]


def locate(contract: Contract, last: Kept | None = None) -> Located:
    """Return the contract's source as it is now; of a database, what `last` has not kept. Raises
    DataError."""
    source, dataset = contract.source, contract.dataset
    if source.kind == "python":
        return from_callable(source, dataset)
    if source.kind == "sql":
        return from_database(source, dataset, cut_of(contract, last))
    if source.kind == "netcdf" or source.kind == "zarr":
        return from_grids(source, find_files(source.path, dataset, source.kind))
    return from_tables(source, find_files(source.path, dataset, source.kind))
