"""What the commands share: arguments, and how a fault becomes a message and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from data_contracts.contract import Contract

WRONG_USAGE = 2

DATASET = typer.Argument(
    metavar="DATASET",
    help="A contract's name, looked for in ./data_contracts and then among the shipped "
    "ones, or the path of a YAML file.",
)
Dataset = Annotated[str, DATASET]
Waiting = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run as `polycast show` lists it, a dataset for its newest run that waits, or the "
        "id of a flow run.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a field of the contract for this run, such as recipe.epochs=5. Repeatable.",
    ),
]


@contextmanager
def faults() -> Iterator[None]:
    """Turn errors into a message on standard error and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        raise ended("stopped; what is finished is kept", 130) from None
    except Exception as error:
        from flows.explain import explain

        message, code = explain(error)
        raise ended(message, code) from None


def ended(message: str, code: int) -> typer.Exit:
    """Say on standard error why the command ends; return the exit to raise."""
    if "flows.console" in sys.modules:
        sys.modules["flows.console"].clear()
    typer.secho("polycast: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(message, err=True)
    return typer.Exit(code)


def contract_of(dataset: str, changes: list[str] | None) -> "tuple[Contract, list[str]]":
    """Return a dataset's contract with changes applied, and the changes."""
    from data_contracts.loading import load_contract

    overrides = changes or []
    return load_contract(dataset, overrides), overrides
