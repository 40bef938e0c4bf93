"""The train flow: a run of its own, in a process of its own, from references to a record.

It runs the same on another machine, as long as that machine sees the storage root. A process
of its own gives its GPU memory back when it ends.
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
from prefect.context import serialize_context
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run

from data_contracts.contract import Contract
from flows.console import clear, join_console
from flows.explain import explain
from flows.outcome import told
from flows.progress import Progress, show_training
from flows.worker import join_worker
from tasks.checkpoints import forget_checkpoints
from tasks.contracts import read_contract, store_contract
from tasks.learning.news import tell_starting
from tasks.preprocess import STAGE as PREPROCESS
from tasks.records import Candidate, Shards
from tasks.storage import home, root_storage
from tasks.train import STAGE, train_candidate

GRACE = 10.0
"""Seconds that the training process has to tell the server that it was interrupted."""


class TrainingFailed(Exception):
    """Training ended without a candidate. The message is what its process said."""


def _name() -> str:
    return str(flow_run.parameters["shards"]).split("/")[1] + "-train"


@told(name="train", flow_run_name=_name)
def train(contract: str, shards: str) -> str:
    """Train on the shards at a place by the contract at a place; return the candidate's place.

    Args:
        contract: The place of a stored contract, relative to the storage root.
        shards: The place of the shards, relative to the storage root.
    """
    join_worker()
    terms = read_contract(contract)
    data = PREPROCESS.read(shards)
    if data is None:
        raise TrainingFailed(f"there are no complete shards at {shards} under {home()}")
    place = STAGE.place(terms, data.hash)
    with Progress(terms.dataset):
        candidate = STAGE.run(
            terms,
            data.hash,
            work=lambda folder: train_candidate(
                terms, data, root_storage().fetch(shards), folder, place
            ),
        )
    forget_checkpoints(place)
    show_training(terms.dataset, candidate)
    return candidate.place


def train_in_process(contract: Contract, shards: Shards) -> Candidate:
    """Run the train flow in a spawned process, as part of the flow that runs here.

    The process ends when this one does, however that ends. Raises TrainingFailed.
    """
    found = STAGE.find(contract, shards.hash)
    if found is not None:
        return STAGE.run(contract, shards.hash, work=lambda _: found)
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    parameters = {"contract": store_contract(contract), "shards": shards.place}
    # Prefect's context holds flows, which only cloudpickle can carry to another process.
    caller = cloudpickle.dumps(serialize_context())
    process = context.Process(target=_child, args=(there, caller, parameters))
    tell_starting("the training process")
    process.start()
    there.close()
    try:
        _hand_over(here)
        fault = _last_word(here)
        process.join()
    except KeyboardInterrupt:  # it has got that too, and tells the server
        process.join(GRACE)
        raise
    finally:  # it draws: whoever stops this one is told so after its last bar
        here.close()
        process.join()
    candidate = STAGE.find(contract, shards.hash)
    if candidate is None:
        raise TrainingFailed(fault or _death(process.exitcode))
    return candidate


def _death(code: int | None) -> str:
    """Say how the training process ended that said nothing itself."""
    if code is None or code >= 0:
        return f"the training process ended with code {code}"
    how = f"was ended by signal {-code} ({signal.strsignal(-code)})"
    if code == -signal.SIGKILL:
        how += ", as systems do that run out of memory"
    return f"the training process {how}. Run again: it goes on from its last checkpoint"


def _hand_over(connection: Connection) -> None:
    """Wait for the training process, then leave the terminal to it: two cannot draw at once."""
    try:
        connection.recv()
        clear()
        connection.send(None)
    except (EOFError, OSError):
        clear()  # it has ended already: its last word says why


def _last_word(connection: Connection) -> str | None:
    try:
        word: str | None = connection.recv()
    except (EOFError, OSError):
        return None
    return word


def _child(connection: Connection, caller: bytes, parameters: dict[str, str]) -> None:
    """Run the flow in the spawned process and send back why it failed, if it did."""
    join_console()
    try:
        connection.send(None)
        connection.recv()
    except (EOFError, OSError):
        _leave()
    tell_starting("the training process")  # the flow's own first news takes seconds too
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    context: dict[str, Any] = cloudpickle.loads(caller)
    try:
        state: Any = run_flow(train, parameters=parameters, context=context, return_type="state")
    except Exception as error:
        connection.send(explain(error)[0])
        raise
    except KeyboardInterrupt:
        _leave()
    connection.send(None if state.is_completed() else state.message)


def _end_with_parent(connection: Connection) -> None:
    """Nothing more is sent this way: the read ends when the other process is gone."""
    try:
        connection.recv()
    except (EOFError, OSError):
        _leave()


def _leave() -> None:
    """End this process at once, and take the bar away where there is a terminal still."""
    try:
        clear()
    finally:
        os._exit(1)
