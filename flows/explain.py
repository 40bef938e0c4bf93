"""Errors in words: the message and the exit code for whatever ended a command."""

import traceback

from data_contracts.errors import ContractError, UnknownDataset
from flows.names import REFUSED, UNUSABLE
from flows.refusals import refusal
from flows.server import ServerFault
from tasks.addresses import clean
from tasks.errors import DataError, WrongRequest
from tasks.learning.errors import Unsuitable
from tasks.room import no_room, ran_out
from tasks.storage import BrokenWork, local_home

FAULT, USAGE, DATA = 1, 2, 4
FAILURES = {DATA: UNUSABLE, USAGE: REFUSED}
"""The names of a run's failed states by exit code; of other faults, Prefect's own."""


def explain(error: Exception) -> tuple[str, int]:
    """Return what to tell the user about an error, without secrets, and the exit code.

    A fault that nobody foresaw is told in a sentence; its traceback goes to a file.
    """
    message, code = _told(error)
    return clean(message), code


def _told(error: Exception) -> tuple[str, int]:
    if not isinstance(error, BrokenWork) and ran_out(error, local_home()):
        return str(no_room(error, local_home())), FAULT
    if isinstance(error, ContractError):
        return f"the contract cannot be used:\n{error}", USAGE
    if isinstance(error, WrongRequest):
        return str(error), USAGE
    if isinstance(error, UnknownDataset):
        return str(error.args[0]), USAGE
    if isinstance(error, DataError | Unsuitable):
        return str(error), DATA
    if refused := refusal(error):
        return refused, FAULT
    if isinstance(error, BrokenWork | ServerFault | OSError):
        return str(error), FAULT
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed: pip install {error.name}", FAULT
    if type(error).__module__.split(".")[0] in ("flows", "tasks"):
        return str(error), FAULT
    file = local_home() / "fault.log"
    file.write_text(clean("".join(traceback.format_exception(error))), "utf-8")
    return f"{type(error).__name__}: {error}\n  the traceback is in {file}", FAULT
