"""The job that a real worker of Prefect makes of a work pool's template, as it leaves for the
cluster: a real server checks what a deployment and a run wish for, and the worker fills it in."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kubernetes_validate
import pytest

from tests.test_kubernetes import PLANTED, POOLS, VERSION, Manifest, pods, restricted, template


@dataclass(frozen=True)
class Cluster:
    """A listener in a cluster's place: it keeps the jobs that are sent to it."""

    address: str
    jobs: list[tuple[str, Manifest]]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    jobs: list[tuple[str, Manifest]] = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            jobs.append((self.path, json.loads(body)))
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Cluster(f"http://127.0.0.1:{server.server_port}", jobs)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prefect_api() -> Iterator[None]:
    """A real Prefect server for this module."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


async def send(pool: str, wishes: Manifest, run_wishes: Manifest, cluster: Cluster) -> Manifest:
    """Return the job that a worker sends for a run of a deployment with job variables.

    The server checks them against the pool's template; the worker fills the template in.
    """
    from kubernetes_asyncio.client import ApiClient, Configuration
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect_kubernetes import KubernetesWorker

    @flow(name="train")
    def train() -> None: ...

    async with get_client() as client:
        made = WorkPoolCreate(name=pool, type="kubernetes", base_job_template=template(pool))
        await client.create_work_pool(made, overwrite=True)
        deployment = await client.create_deployment(
            await client.create_flow(train),
            name="here",
            work_pool_name=pool,
            job_variables=wishes,
            pull_steps=[],
        )
        run = await client.create_flow_run_from_deployment(deployment, job_variables=run_wishes)
        worker = KubernetesWorker(work_pool_name=pool)
        filled = await worker.job_configuration.resolve_for_flow_run(
            run,
            client=client,
            work_pool=await client.read_work_pool(pool),
            worker_name=worker.name,
        )
    async with ApiClient(Configuration(host=cluster.address)) as api:
        await worker._create_job(filled, api)
    [(path, job)] = cluster.jobs
    assert path == f"/apis/batch/v1/namespaces/{filled.namespace}/jobs"
    return job


def rendered(
    pool: str,
    cluster: Cluster,
    wishes: Manifest | None = None,
    run_wishes: Manifest | None = None,
) -> Manifest:
    return asyncio.run(send(pool, wishes or {}, run_wishes or {}, cluster))


def container(job: Manifest) -> Manifest:
    [found] = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("pool", POOLS)
def test_the_job_that_a_worker_sends_is_restricted_and_keeps_the_schema(
    pool: str, cluster: Cluster, prefect_api: None
) -> None:
    job = rendered(pool, cluster)
    pod = job["spec"]["template"]["spec"]
    restricted(pod)
    assert pod["automountServiceAccountToken"] is False
    assert job["metadata"]["namespace"] == "polycast"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    # Prefect demands these two in the pod, where the cluster passes over them.
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def test_the_gpu_pool_asks_for_a_gpu_and_the_cpu_pool_for_none(
    cluster: Cluster, prefect_api: None
) -> None:
    trained = container(rendered("gpu", cluster))
    cluster.jobs.clear()
    retrained = container(rendered("cpu", cluster))
    assert trained["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": 1},
    }
    assert retrained["resources"] == {
        "requests": {"cpu": "1", "memory": "4Gi"},
        "limits": {"cpu": "4", "memory": "8Gi"},
    }
    assert trained["image"] == f"polycast:{VERSION}-cuda"
    assert retrained["image"] == f"polycast:{VERSION}-cpu"


def test_what_a_deployment_and_a_run_wish_for_reaches_the_job(
    cluster: Cluster, prefect_api: None
) -> None:
    wishes = {
        "gpus": 2,
        "memory_limit": "96Gi",
        "image": "registry.example/polycast:1-cuda",
        "node_selector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        "secret": "team-secret",
        "scratch": "500Gi",
        "env": {"TF_CPP_MIN_LOG_LEVEL": "0"},
    }
    job = rendered("gpu", cluster, wishes, {"memory_limit": "128Gi", "env": {"LATE": "1"}})
    pod, inside = job["spec"]["template"]["spec"], container(job)
    limits = inside["resources"]["limits"]
    assert limits == {"cpu": "8", "memory": "128Gi", "nvidia.com/gpu": 2}
    assert inside["image"] == wishes["image"]
    assert pod["nodeSelector"] == wishes["node_selector"]
    assert {"secretRef": {"name": "team-secret"}} in inside["envFrom"]
    assert pod["volumes"][0]["emptyDir"] == {"sizeLimit": "500Gi"}
    given = {e["name"]: e.get("value") for e in inside["env"]}
    assert (given["TF_CPP_MIN_LOG_LEVEL"], given["LATE"]) == ("0", "1")


def test_a_wish_that_is_no_number_of_gpus_is_refused_by_the_server(
    cluster: Cluster, prefect_api: None
) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    with pytest.raises(PrefectHTTPStatusError, match=r"422|409"):
        rendered("gpu", cluster, {"gpus": "all"})
    assert not cluster.jobs


def test_a_gpu_node_with_the_usual_taint_is_tolerated(cluster: Cluster, prefect_api: None) -> None:
    pod = rendered("gpu", cluster)["spec"]["template"]["spec"]
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize("pool", POOLS)
def test_secrets_reach_a_job_by_reference_alone(
    pool: str, cluster: Cluster, prefect_api: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    # As the worker's manifest sets them: Prefect would hand its own password on in the open.
    worker = pods()[f"Deployment/worker-{pool}"]["containers"][0]
    for entry in worker["env"]:
        if "value" in entry:
            monkeypatch.setenv(entry["name"], entry["value"])
    with temporary_settings({PREFECT_API_AUTH_STRING: PLANTED}):
        job = rendered(pool, cluster)
    assert PLANTED not in json.dumps(job)
    named = [e for e in container(job)["env"] if e["name"] == "PREFECT_API_AUTH_STRING"]
    reference = {"name": "polycast", "key": "PREFECT_API_AUTH_STRING"}
    assert named == [{"name": named[0]["name"], "valueFrom": {"secretKeyRef": reference}}]
    assert container(job)["envFrom"] == [
        {"configMapRef": {"name": "polycast"}},
        {"secretRef": {"name": "polycast"}},
    ]


def test_a_run_whose_pod_is_evicted_is_scheduled_again_by_prefect(
    cluster: Cluster, prefect_api: None
) -> None:
    given = {e["name"]: e.get("value") for e in container(rendered("gpu", cluster))["env"]}
    assert given["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
