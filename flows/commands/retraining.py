"""Retrain, decide of what waits, check."""

from datetime import datetime
from typing import Annotated

import typer

from flows.commands.common import (
    DATASET,
    WRONG_USAGE,
    Changes,
    Dataset,
    Waiting,
    contract_of,
    ended,
    faults,
)
from tasks.wording import rows_of


def retrain(
    dataset: Annotated[str | None, DATASET] = None,
    changes: Changes = None,
    from_stage: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Do this stage and all later ones again, though nothing has changed.",
        ),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Retrain as if on this day: later rows are left out, and the champion stays.",
        ),
    ] = None,
    rebaseline: Annotated[
        str | None,
        typer.Option(
            metavar="WHY",
            help="A new start: compare with no champion. The reason stays with the version.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Retrain every dataset; one's failure stops no other.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tag=TAG",
            help="Retrain the datasets that fit, such as tag=weather. Repeatable.",
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, help="How many datasets are retrained at once.")
    ] = 1,
    gpus: Annotated[
        float,
        typer.Option(min=0, help="How many GPUs each dataset gets, with POLYCAST_ENGINE=ray."),
    ] = 0,
    remote: Annotated[
        bool, typer.Option(help="Let the workers of the Prefect server do it, and follow it here.")
    ] = False,
    losses: Annotated[
        bool, typer.Option("--losses", help="Show each target's loss while training goes on.")
    ] = False,
) -> None:
    """Retrain a dataset, and publish the new model if the gate lets it pass.

    Work that is finished is not done again: a second run on the same data and contract says
    "already up to date" at once, and a run that was killed goes on where it stopped.

    For example: `polycast retrain nyc_weather --set recipe.epochs=5`
    """
    from flows.names import STAGES

    if from_stage is not None and from_stage not in STAGES:
        raise ended(f"--from {from_stage}: expected one of {', '.join(STAGES)}", WRONG_USAGE)
    if bool(dataset) + every + bool(where) != 1:
        raise ended("expected one of DATASET, --all and --where", WRONG_USAGE)
    if rebaseline is not None and dataset is None:
        raise ended("--rebaseline: expected one DATASET, since it has one reason", WRONG_USAGE)
    day = as_of.date() if as_of else None
    with faults():
        from flows import terminal

        terminal.show_losses(losses)
        wish = terminal.Wish(changes or [], day, from_stage, rebaseline)
        if dataset is None:
            code = terminal.retrain_fleet(where or [], wish, parallel, gpus, remote)
        elif remote:
            code = terminal.retrain_remotely(dataset, wish)
        else:
            code = terminal.retrain_here(dataset, wish)
        raise typer.Exit(code)


def train(
    contract: Annotated[
        str, typer.Argument(metavar="CONTRACT", help="The place of a stored contract.")
    ],
    shards: Annotated[str, typer.Argument(metavar="SHARDS", help="The place of its shards.")],
) -> None:
    """Take part in a training that several hosts share; to be run on each of them at once.

    `polycast retrain` names the two places where `training.hosts` is more than 1, and goes on when
    this has ended. The variables KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROCESSES
    and KERAS_DISTRIBUTION_PROCESS_ID say who is who.

    For example: `polycast train contracts/nyc_weather/0123456789abcdef
    shards/nyc_weather/0123456789abcdef`
    """
    import os
    import sys

    try:
        with faults():
            from flows.server import configure

            configure()
            from flows.hosts import train_here

            train_here(contract, shards)
    except typer.Exit as end:
        sys.stderr.flush()
        # What runs at exit would wait for the other hosts, which may be gone.
        os._exit(end.exit_code)


def approve(
    run: Waiting,
    reason: Annotated[str, typer.Option(help="Why; kept with the version.")] = "",
) -> None:
    """Publish a candidate that waits for approval.

    The decision is kept for ever with the version, and with the name of who runs this. Where the
    champion has moved meanwhile, the candidate is judged again, and asked about again.

    For example: `polycast approve nyc_weather`
    """
    with faults():
        from flows.terminal import decide_here

        raise typer.Exit(decide_here(run, "approve", reason))


def reject(
    run: Waiting,
    reason: Annotated[str, typer.Option(prompt="Why", help="Why; kept with the verdict.")],
) -> None:
    """Reject a candidate that waits for approval: the champion stays.

    For example: `polycast reject nyc_weather --reason "one station is off"`
    """
    with faults():
        from flows.terminal import decide_here

        raise typer.Exit(decide_here(run, "reject", reason))


def check(dataset: Dataset, changes: Changes = None) -> None:
    """Hold a dataset's data against its contract; train nothing.

    For example: `polycast check nyc_weather`
    """
    with faults():
        contract, overrides = contract_of(dataset, changes)
        from flows.server import prefect_server
        from flows.terminal import live

        with live(), prefect_server():
            from prefect import tags

            from flows.check import check as flow

            with tags(contract.dataset):
                checked = flow(dataset, overrides)
        from rich.console import Console

        from tasks.storage import root_storage

        console = Console(highlight=False)
        console.print(f"[bold green]{contract.dataset} keeps its contract[/]")
        for reason in checked.reasons:
            console.print(
                f"  quarantined: {reason.expectation}: {rows_of(reason.rows)}", markup=False
            )
        docs = root_storage().address(checked.place, "data_docs/index.html")
        console.print(f"  data docs    {docs}", markup=False, soft_wrap=True)
