"""Watch the champion of a dataset."""

from typing import Annotated

import typer

from flows.commands.common import WRONG_USAGE, Dataset, contract_of, ended, faults


def monitor(
    dataset: Dataset,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DAY",
            help="The first day whose rows are recent; the contract's window by default.",
        ),
    ] = None,
) -> None:
    """Compare recent rows with those that the champion was trained on, and its errors with those
    on its test rows.

    Recent are rows of the contract's `monitoring.window` that the champion has not seen. This only
    looks; the deployment `monitor/DATASET` does the same on its schedule, and starts a retrain.

    For example: `polycast monitor nyc_weather --since 2013-12-01`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from pydantic_core import PydanticCustomError

        from data_contracts.source import moment

        try:
            when = None if since is None else moment(since)
        except PydanticCustomError as error:
            raise ended(f"--since {since}: expected {error.message()}", WRONG_USAGE) from None
        from flows.watching import monitor_here

        monitor_here(contract, when)
