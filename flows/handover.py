"""Hand training to whoever is to do it: a process here, a run on the work pool `gpu`, or hosts."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from data_contracts.contract import Contract
from flows.deploying import GPU
from flows.hosts import train_over_hosts
from flows.rival import find_rival, find_shards
from flows.train import TrainingFailed, train_in_process
from flows.worker import on_a_worker
from tasks.contracts import store_contract
from tasks.errors import DataError
from tasks.learning.errors import Unsuitable
from tasks.passing import passes
from tasks.preprocess import preprocess
from tasks.records import Candidate, Shards
from tasks.rival import rival_contract
from tasks.start import with_start
from tasks.train import STAGE

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

DEPLOYMENT = "train/gpu"
ATTEMPTS = 3
"""How often training is started that crashed: its worker or its machine was gone."""
LOOK = 1.0
"""Seconds between looks at the run."""
PATIENCE = 600.0
"""Seconds that the Prefect server, or the database under it, may be away."""

T = TypeVar("T")
log = logging.getLogger("polycast")


def train(contract: Contract, shards: Shards) -> Candidate:
    """Return the trained candidate, from where the contract's `training.engine` says.

    Raises TrainingFailed.
    """
    contract = with_start(contract, shards)
    if STAGE.find(contract, shards.hash) is None:
        if contract.training.hosts > 1:
            return train_over_hosts(contract, shards)
        if _engine(contract) == "pool":
            return train_on_pool(contract, shards)
    return train_in_process(contract, shards)


def train_rival(contract: Contract, candidate: Candidate) -> Candidate | None:
    """Return the champion's recipe trained on the candidate's folds, where they are judged by.

    The candidate itself where both have one recipe; None where there is no such rival.
    Raises TrainingFailed.
    """
    terms = rival_contract(contract, candidate)
    if terms is None:
        return None
    found = find_rival(terms, candidate)
    if found is not None:
        return found
    try:
        shards = find_shards(terms, candidate) or preprocess(terms, candidate.shards.checked)
    except (DataError, Unsuitable) as error:
        log.warning("the champion's recipe cannot learn from today's rows: %s", error)
        return None
    return train(terms, shards)


def _engine(contract: Contract) -> str:
    asked = contract.training.engine
    if asked != "auto":
        return asked
    return "pool" if on_a_worker() and _answered(_pool_is_online) else "process"


def _pool_is_online() -> bool:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import WorkPoolStatus
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(DEPLOYMENT)
            return bool(client.read_work_pool(GPU).status == WorkPoolStatus.READY)
        except ObjectNotFound:
            return False


def train_on_pool(contract: Contract, shards: Shards) -> Candidate:
    """Train as a run of its own on the pool, which gets references and no data.

    A run that crashed is started again; one that a dead retrain left behind is waited for.
    Raises TrainingFailed.
    """
    parameters = {"contract": store_contract(contract), "shards": shards.place}
    state = None
    for run in _attempts(contract, shards, parameters):
        state = _wait(run.id)
        candidate = STAGE.find(contract, shards.hash)
        if candidate is not None:
            return candidate
        if not state.is_crashed():
            break
    said = (state.message or state.name) if state else "it was never started"
    raise TrainingFailed(f"training on the work pool {GPU}: {said}")


def _attempts(contract: Contract, shards: Shards, parameters: dict[str, str]) -> Any:
    """Yield runs to wait for, each begun when the one before has crashed.

    Their key is numbered, so that a retrain that is started again finds the run that the one
    before it began, and begins one of its own only where that has ended without a candidate.
    """
    place = STAGE.place(contract, shards.hash)
    begun = number = 0
    while begun < ATTEMPTS:
        run = _answered(partial(_begin, contract, parameters, f"{place}/{number}"))
        number += 1
        goes_on = run.state is None or not run.state.is_final()
        # One that has ended since the candidate was looked for may have made it.
        if goes_on or STAGE.find(contract, shards.hash) is not None:
            begun += 1
            yield run


def _begin(contract: Contract, parameters: dict[str, str], key: str) -> "FlowRun":
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        run: Any = run_deployment(
            DEPLOYMENT,
            parameters=parameters,
            idempotency_key=key,
            flow_run_name=f"{contract.dataset}-train",
            timeout=0,
            tags=[contract.dataset, *contract.tags],
        )
    except ObjectNotFound:
        raise TrainingFailed(
            f"training.engine is pool, but {DEPLOYMENT} is not deployed: run `polycast deploy`, "
            "and start a worker on the work pool gpu"
        ) from None
    found: FlowRun = run
    log.info("training is run %s on the work pool %s", found.name, GPU)
    return found


def _wait(run: UUID) -> "State[Any]":
    """Return the final state of a run. Raises TrainingFailed where the server stays away."""
    while True:
        state = _answered(partial(_state, run))
        if state is not None and state.is_final():
            return state
        time.sleep(LOOK)


def _state(run: UUID) -> "State[Any] | None":
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(run).state


def _answered(ask: Callable[[], T]) -> T:
    """Return what the Prefect server answers; one that is away is asked again.

    Raises TrainingFailed where it stays away.
    """
    import httpx

    start = time.monotonic()
    while True:
        try:
            return ask()
        except httpx.HTTPError as error:
            if not passes(error):
                raise
            if time.monotonic() - start > PATIENCE:
                raise TrainingFailed(f"the Prefect server is away: {error}") from None
        time.sleep(LOOK)


def stop_training(flow: Any, flow_run: "FlowRun", state: "State[Any]") -> None:
    """Cancel the training that a cancelled retrain has begun: no GPU works for nobody."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
    from prefect.states import Cancelling

    with get_client(sync_client=True) as client:
        mine = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run.id]))
        for child in client.read_flow_runs(flow_run_filter=mine):
            if child.deployment_id and child.state and not child.state.is_final():
                client.set_flow_run_state(child.id, Cancelling(), force=True)
