"""Predict the rows of a file."""

from typing import Annotated, cast, get_args

import typer

from flows.commands.common import WRONG_USAGE, Dataset, contract_of, ended, faults


def predict(
    dataset: Dataset,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="A Parquet file, a folder of such files, or an address of either."
        ),
    ],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="The Parquet file to write, or its address.")
    ],
    version: Annotated[
        str | None, typer.Option(help="The version that answers; the champion by default.")
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(metavar="LEVEL", help="Add each target's interval, such as 0.9."),
    ] = None,
    invalid: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="What becomes of rows that the model was not made for: stop (nothing is "
            "written), quarantine (they go to a file of their own) or mark (they are answered, "
            "and marked).",
        ),
    ] = "stop",
) -> None:
    """Predict the rows of a Parquet file with the champion, as a Parquet file.

    Rows need the key and the features as the contract's query makes them. The output has the key
    and each target in its unit, in the order of the rows. It is there whole or not at all: after
    a kill, the same command goes on where it stopped, with the version that it began with.

    For example: `polycast predict nyc_weather rows.parquet predictions.parquet --interval 0.9`
    """
    from tasks.predict.request import Invalid, Request

    if invalid not in get_args(Invalid):
        known = ", ".join(get_args(Invalid))
        raise ended(f"--invalid {invalid}: expected one of {known}", WRONG_USAGE)
    request = Request(source, out, version, interval, cast("Invalid", invalid))
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.predictions import predict_here

        predict_here(contract, request)
