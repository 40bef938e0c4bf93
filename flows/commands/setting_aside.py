"""Look at the rows that validation set aside, and release them."""

from typing import Annotated

import typer

from flows.commands.common import WRONG_USAGE, Dataset, contract_of, ended, faults

quarantine = typer.Typer(
    no_args_is_help=True,
    help="Look at the rows that break a contract, and let them through.",
)


@quarantine.command("list")
def listed(
    dataset: Dataset,
    limit: Annotated[int, typer.Option(min=1, help="How many validations to show.")] = 3,
) -> None:
    """List the rows in quarantine by what they break, those of the newest validation first.

    For example: `polycast quarantine list nyc_weather`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.quarantine import show_quarantine

        show_quarantine(contract, limit)


@quarantine.command()
def release(
    dataset: Dataset,
    why: Annotated[str, typer.Option(prompt="Why", help="Why they are right; kept for ever.")],
    reason: Annotated[
        list[str] | None,
        typer.Option(help="What the rows break, as the list says it. Repeatable."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="A row's key as the list shows it, 'origin=EWR, hour=3'. Repeatable."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All rows of the last validation.")] = False,
) -> None:
    """Let rows of the last validation through, from the next run on.

    With a reason they are let through that expectation alone, and with a key that row. A row
    whose values change is judged anew. Who released what, when and why, is kept.

    For example: `polycast quarantine release nyc_weather --reason "wind_speed between 0 and 200
    mph" --why "the storm was real"`
    """
    if every == bool(reason or key):
        raise ended("expected --reason, --key or both, or else --all", WRONG_USAGE)
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.quarantine import show_release
        from flows.terminal import user
        from tasks.validate.releasing import Wanted
        from tasks.validate.releasing import release as let_out

        made = let_out(contract, Wanted(key or (), reason or ()), user(), why)
        show_release(contract, made)
