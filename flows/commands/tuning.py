"""Search for a better recipe."""

from typing import Annotated

import typer

from flows.commands.common import Changes, Dataset, contract_of, faults


def tune(
    dataset: Dataset,
    changes: Changes = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many trials to finish, those of earlier calls included; the contract's "
            "number by default.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="How long to search; with --trials, whichever ends first."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the best recipe into the contract's file.")
    ] = False,
) -> None:
    """Try other recipes of a dataset, and show which is best on its validation rows.

    The contract's `tuning` says which fields are searched, and how. Test rows are not read. Every
    finished trial is kept: a search that was killed goes on where it stopped.

    For example: `polycast tune nyc_weather --trials 30 --apply`
    """
    with faults():
        contract, overrides = contract_of(dataset, changes)
        from flows.searching import tune_here

        tune_here(dataset, contract, overrides, trials, minutes, apply)
