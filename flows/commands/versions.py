"""Versions of a dataset's model: look at them, move the champion, compare, repeat, prune."""

from typing import Annotated

import typer

from flows.commands.common import Changes, Dataset, contract_of, faults

Number = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version's number, as `polycast models` shows.")
]


def models(dataset: Dataset) -> None:
    """List the versions of a dataset's model: their errors, verdicts, and who uses them."""
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.versions import show_versions

        show_versions(contract)


def promote(
    dataset: Dataset,
    version: Number,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal of moves.")] = "",
) -> None:
    """Make a version champion; the champion until now becomes `previous`.

    For example: `polycast promote nyc_weather 3 --reason "the storm week is over"`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.terminal import user
        from flows.versions import show_move
        from tasks.models.moving import promote as move

        show_move(contract, version, move(contract.registered_model, version, user(), reason))


def rollback(
    dataset: Dataset,
    reason: Annotated[str, typer.Option(prompt="Why", help="Why; kept with the version.")],
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]", help="The version to go back to; `previous` if absent."
        ),
    ] = None,
) -> None:
    """Go back to the version before, or to any complete one, within seconds.

    The version that is taken back stays, with the reason. A retrain of the same data does not
    publish it again; `polycast promote` does.

    For example: `polycast rollback nyc_weather --reason "wind is off at JFK"`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.terminal import user
        from flows.versions import show_move
        from tasks.models.moving import rollback as move

        made = move(contract.registered_model, version, user(), reason)
        show_move(contract, version or "", made)


def diff(
    dataset: Dataset,
    old: Annotated[str, typer.Argument(metavar="V1", help="A version's number.")],
    new: Annotated[str, typer.Argument(metavar="V2", help="The number of another.")],
) -> None:
    """Show how two versions differ: contract, data, and errors per target in its unit.

    For example: `polycast diff nyc_weather 1 2`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.versions import show_comparison
        from tasks.models.comparing import compared
        from tasks.models.entries import entry

        show_comparison(compared(entry(contract, old), entry(contract, new)), old, new)


def reproduce(dataset: Dataset, version: Number) -> None:
    """Train a version again from its snapshot, contract and seed, and compare the weights.

    Nothing is published. Exit code 0 when all weights are the same bits, 1 when not.

    For example: `polycast reproduce nyc_weather 1`
    """
    with faults():
        contract, _ = contract_of(dataset, None)
        from flows.terminal import live
        from flows.versions import show_reproduction

        with live():
            from flows.reproducing import reproduce as again

            found = again(contract, version)
        show_reproduction(found)
        raise typer.Exit(0 if found.identical else 1)


def prune(
    dataset: Dataset,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")
    ] = False,
    changes: Changes = None,
) -> None:
    """Remove old versions with their files, by the contract's `publishing.keep`.

    No version goes that has an alias, that a champion or `previous` was compared with, that a run
    uses, or that a candidate which waits for approval was compared with.

    For example: `polycast prune nyc_weather --set publishing.keep.days=30 --dry-run`
    """
    with faults():
        contract, _ = contract_of(dataset, changes)
        from flows.versions import show_pruned, waited_for
        from tasks.models.pruning import prune as remove

        show_pruned(remove(contract, waited_for(contract), dry_run), dry_run)
