"""Training on the work pool: whose run is waited for."""

from threading import Timer
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed

from flows.deploying import GPU, make_pool
from flows.handover import train_on_pool
from tasks.storage import root_storage
from tasks.train import STAGE, train_candidate
from tests.builders import small_contract, small_rows
from tests.publishing import prepare

PATIENCE = 20.0
"""Seconds after which a run that nobody should wait for is cancelled."""


def runs_of(deployment: UUID) -> list[FlowRun]:
    own = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(deployment_filter=own)


def cancel(deployment: UUID, api: str) -> None:
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        for run in runs_of(deployment):
            if run.state is None or not run.state.is_final():
                client.set_flow_run_state(run.id, Cancelled(), force=True)


def test_a_run_that_has_trained_meanwhile_is_not_begun_again(api: str) -> None:
    contract = small_contract(recipe={"architecture": "shared", "hidden": [4], "epochs": 1})
    shards = prepare(contract, small_rows())
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        make_pool(client, GPU)
        flow = client.create_flow_from_name("train")
        deployment = client.create_deployment(flow, "gpu", work_pool_name=GPU)
        key = f"{STAGE.place(contract, shards.hash)}/0"
        run = client.create_flow_run_from_deployment(deployment, idempotency_key=key)
        made = STAGE.run(
            contract,
            shards.hash,
            work=lambda folder: train_candidate(
                contract, shards, root_storage().fetch(shards.place), folder
            ),
        )
        client.set_flow_run_state(run.id, Completed(), force=True)
        rescue = Timer(PATIENCE, cancel, (deployment, api))
        rescue.start()
        try:
            assert train_on_pool(contract, shards) == made
        finally:
            rescue.cancel()
        assert [r.id for r in runs_of(deployment)] == [run.id]
