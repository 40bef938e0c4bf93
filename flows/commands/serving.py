"""Answer requests."""

from typing import Annotated

import typer

from flows.commands.common import Dataset, contract_of, faults


def serve(
    dataset: Dataset,
    version: Annotated[
        str | None,
        typer.Option(help="A version's number; the champion, and each later one, when absent."),
    ] = None,
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 5001,
    host: Annotated[
        str, typer.Option(help="The address to listen on: this machine alone unless told.")
    ] = "127.0.0.1",
) -> None:
    """Answer requests with the champion, by MLflow's scoring server, until Ctrl-C.

    Raw rows in, targets in their units out. A request that is wrong gets a status of 4xx and a
    sentence on what is wrong with it. A new champion answers within seconds, without a stop.

    For example: `polycast serve nyc_weather`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.serve import serve as run

        run(contract, version, host, port)
