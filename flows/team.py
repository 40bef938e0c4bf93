"""What `polycast up` runs for a team: the Prefect server, the MLflow server, the workers."""

import os
import shutil
import socket
import subprocess

from flows.automations import HEARTBEAT
from flows.deploying import CPU, GPU
from flows.server import HOST, configure, prefect_home
from flows.service import Service
from tasks.addresses import shown
from tasks.registry import artifact_folder, client, tracking_address
from tasks.storage import home, local_home

LEASES = "prefect.server.concurrency.lease_storage.filesystem"
"""Where the server keeps who holds a concurrency slot: in memory, a restart would leak them."""
LATE = 3600
"""Seconds after which a run that has not begun counts as late: that a night's runs queue is no
fault, and marking a hundred of them at once locks SQLite for minutes."""


def prefect_service(port: int) -> Service:
    """Return the Prefect server with its UI on a loopback port."""
    address = f"http://{HOST}:{port}"
    environment = {
        "PREFECT_HOME": str(prefect_home()),
        "PREFECT_API_URL": f"{address}/api",
        # The UI calls port 4200 wherever it is served, until it is told its address: ours, or
        # that of a proxy before it.
        "PREFECT_UI_API_URL": os.environ.get("PREFECT_UI_API_URL") or f"{address}/api",
        "PREFECT_UI_URL": os.environ.get("PREFECT_UI_URL") or address,
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": str(LATE),
    }
    command = ["flows.beside", "prefect", "server", "start"]
    command += ["--host", HOST, "--port", str(port)]
    log = prefect_home() / "server.log"
    health = f"{address}/api/health"
    return Service("the Prefect server", command, os.environ | environment, log, health)


def registry_elsewhere() -> str | None:
    """Return the address of the server that MLFLOW_TRACKING_URI names; None where it names none,
    or a database that a server of ours is to show."""
    return shown(tracking_address()) if artifact_folder() is None else None


def mlflow_service(port: int) -> Service:
    """Return the MLflow server over the registry, on a loopback port."""
    client()  # makes the database where there is none
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", tracking_address()]
    if artifacts := artifact_folder():
        command += ["--default-artifact-root", artifacts.as_uri()]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = local_home() / "registry" / "server.log"
    health = f"http://{HOST}:{port}/health"
    return Service("the MLflow server", command, environment, log, health)


def cpu_worker(prefect: str, at_once: int) -> Service:
    """Return the worker that runs retrains, `at_once` of them at the most."""
    name = f"{CPU}@{socket.gethostname()}"
    return _worker(CPU, name, prefect, at_once, {})


def gpu_worker(prefect: str, index: int) -> Service:
    """Return the worker of one GPU, which sees that GPU alone and trains one model at a time."""
    name = f"{GPU}{index}@{socket.gethostname()}"
    return _worker(GPU, name, prefect, 1, {"CUDA_VISIBLE_DEVICES": str(index)})


def _worker(
    pool: str, name: str, prefect: str, at_once: int, environment: dict[str, str]
) -> Service:
    configure()
    command = ["prefect", "worker", "start", "--type", "process", "--pool", pool, "--name", name]
    command += ["--limit", str(at_once)]
    settings = {
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_HOME": str(prefect_home()),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
        # Some minutes in which a server may be away: it is started again meanwhile.
        "PREFECT_CLIENT_MAX_RETRIES": "7",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        "POLYCAST_HOME": home(),
    }
    log = prefect_home() / f"{name}.log"
    return Service(f"worker {name}", command, os.environ | settings | environment, log)


def machine_gpus() -> list[str]:
    """Return the names of the GPUs that this machine's driver lists."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return [line.strip() for line in result.stdout.splitlines()] if not result.returncode else []
