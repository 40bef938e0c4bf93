"""Draft a contract by looking at data."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import faults


def init(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="A Parquet, CSV, Feather or NetCDF file, or a folder."),
    ],
    targets: Annotated[
        list[str],
        typer.Option(
            metavar="A,B",
            help="The columns to predict. Repeatable; quote one that holds a comma: '\"A,B\",C'.",
        ),
    ],
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column that orders rows in time.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="What rows belong together by, such as a station."),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="The columns that name a row.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The contract's file; if absent, one named for DATA in ./data_contracts."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a contract.")] = False,
) -> None:
    """Look at data, and write a commented draft of a contract that runs as it is.

    Types, bounds, cycles, the key, the split and expectations are guessed from the rows; units are
    left to fill in. Features that give a target away are left out, with a warning.

    For example: `polycast init plant.parquet --targets nox,yield --time hour`
    """
    with faults():
        from flows.drafting import draft_here

        draft_here(data, targets, time, group, key or [], out, force)
