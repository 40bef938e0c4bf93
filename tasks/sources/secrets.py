"""The words that open a database, from where the contract says that they are kept.

They are never part of a contract, a record, a message or a log: whatever is said afterwards goes
through `tasks.addresses.clean`, which knows them from here on.
"""

import os

from data_contracts.source import Connection
from tasks.addresses import hide
from tasks.errors import DataError


def address_of(connection: Connection) -> str:
    """Return a database's address with its user and password. Raises DataError for none."""
    found = _of_block(connection.block) if connection.block else _of_environment(connection)
    hide(found)
    return found


def kept_in(connection: Connection) -> str:
    """Return in words where a database's address is kept."""
    if connection.block:
        return f"the Prefect block secret/{connection.block}"
    return f"the environment variable {connection.env}"


def _of_environment(connection: Connection) -> str:
    found = os.environ.get(connection.env or "")
    if not found:
        raise DataError(
            f"source.connection asks for {kept_in(connection)}, which is not set where this runs"
        )
    return found


def _of_block(name: str) -> str:
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(name).get())  # type: ignore[union-attr]
    except ValueError:
        raise DataError(
            f"source.connection asks for the Prefect block secret/{name}, which is not there. "
            "Make it in Prefect's UI: Blocks, Secret"
        ) from None
