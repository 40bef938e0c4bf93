"""`python -m flows.trials NAME`: one trial of `polycast doctor`, in a process of its own.

There a library may hang, crash or write to the terminal, and whoever asked stays unharmed. What
was found is the last line of output, as JSON: `{"fault": …}` where the trial failed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from tasks.storage import Storage

SOON, LATE = 40.0, 120.0
"""Seconds that a trial may take which asks others, and one which imports much."""
ANSWER = 8
"""Seconds that a server may take to answer one request."""
LENGTH = 300
"""Letters that are kept of a fault."""

_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER),
    "PREFECT_CLIENT_MAX_RETRIES": "0",
    "PREFECT_API_REQUEST_TIMEOUT": str(ANSWER),
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_UI_ENABLED": "0",
    "AWS_MAX_ATTEMPTS": "1",
    "PGCONNECT_TIMEOUT": str(ANSWER),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""By default these clients try again for minutes."""


class TrialFault(Exception):
    """What a trial asked for did not work. The message is the innermost fault, in one line."""


def tried(name: str, **changes: str) -> dict[str, Any]:
    """Make a trial in a process of its own and return what it found.

    changes: settings for that process. Raises TrialFault. What it writes into the folder for
    temporary files is removed.
    """
    with tempfile.TemporaryDirectory(prefix="polycast-") as folder:
        result = _run(name, changes | {"TMPDIR": folder})
    found = _answer(result.stdout)
    if found is None:
        raise TrialFault(_ending(result))
    if "fault" in found:
        raise TrialFault(str(found["fault"]))
    return found


def _run(name: str, changes: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    # -P and the path: what this process would import, and nothing that lies about.
    path = os.pathsep.join(p for p in sys.path if p)
    command = [sys.executable, "-P", "-m", "flows.trials", name]
    settings = _IMPATIENT | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"} | changes
    limit = LATE if name in ("app", "framework") else SOON
    try:
        return subprocess.run(
            command, env=os.environ | settings, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TrialFault(f"no answer within {limit:.0f} s") from None


def _answer(output: str) -> dict[str, Any] | None:
    try:
        found = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _ending(result: "subprocess.CompletedProcess[str]") -> str:
    """Say how a process ended that gave no answer."""
    if result.returncode < 0:
        return f"the process was ended by {signal.Signals(-result.returncode).name}"
    last = (result.stderr.strip().splitlines() or ["without a word"])[-1]
    return f"the process ended with code {result.returncode}: {last[:LENGTH]}"


def root() -> dict[str, Any]:
    """Write a piece of work under the storage root, read it back, and leave nothing behind."""
    from tasks.storage import root_storage

    storage = root_storage()
    if "s3fs" in sys.modules:
        sys.modules["s3fs"].S3FileSystem.retries = 1
    place = f"doctor/{uuid.uuid4().hex}"
    with _removed(storage, place):
        with storage.write(place) as work:
            (work.folder / "note").write_text("written by polycast doctor\n", "utf-8")
        storage.fetch(place)
    return {}


@contextmanager
def _removed(storage: "Storage", place: str) -> Iterator[None]:
    """Remove a place afterwards, and the folders above it that were not there before."""
    path = Path(storage.path)
    new = [f for f in (path / "doctor", path, *path.parents) if storage.local and not f.exists()]
    try:
        yield
    except Exception:
        with suppress(Exception):  # the first fault is the one to tell
            _remove(storage, place)
        raise
    else:
        _remove(storage, place)
    finally:
        with suppress(OSError):  # somebody has put something there meanwhile
            for folder in new:
                folder.rmdir()


def _remove(storage: "Storage", place: str) -> None:
    if storage.local:
        shutil.rmtree(Path(storage.path) / place)
    else:
        storage.fs.rm(f"{storage.path}/{place}", recursive=True)


def registry() -> dict[str, Any]:
    """Ask MLflow's tracking server or database for a run's record and a model's."""
    import mlflow

    from tasks.registry import tracking_address

    tracking = tracking_address()
    address = os.environ.get("MLFLOW_REGISTRY_URI") or tracking
    for database in {tracking, address}:
        _connect(database)
    client = mlflow.MlflowClient(tracking, address)
    client.search_experiments(max_results=1)
    models = client.search_registered_models(max_results=1)
    return {"models": bool(models)}


def _connect(address: str) -> None:
    """Connect once to a database: MLflow would try for minutes, and hide why it cannot."""
    if address.startswith(("postgresql", "mysql", "mssql")):
        from sqlalchemy import create_engine

        create_engine(address).connect().close()


def server() -> dict[str, Any]:
    """Ask the configured Prefect server for its version, its work pools and their workers."""
    import prefect
    from prefect.client.base import ServerType
    from prefect.client.orchestration import get_client

    from flows.deploying import CPU, GPU

    with get_client(sync_client=True) as client:
        cloud = client.server_type == ServerType.CLOUD
        return {
            "address": str(client.api_url).rstrip("/"),
            "client": prefect.__version__,
            "server": None if cloud else client.api_version(),
            "pools": {pool: _workers(client, pool) for pool in (CPU, GPU)},
        }


def _workers(client: "SyncPrefectClient", pool: str) -> int | None:
    """Return how many workers of a pool are online, or None where there is no such pool."""
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return None
    return sum(w.status == "ONLINE" for w in client.read_workers_for_work_pool(pool))


def app() -> dict[str, Any]:
    """Make the Prefect server's application: a temporary server would serve it."""
    import prefect
    from prefect.server.api.server import create_app

    create_app()
    return {"version": prefect.__version__}


def framework() -> dict[str, Any]:
    """Let the Keras backend choose a device and compute on it."""
    from tasks.backends import backend

    device = backend().use_device("auto")
    import keras

    keras.ops.convert_to_numpy(keras.ops.matmul(keras.ops.ones((8, 8)), keras.ops.ones((8, 8))))
    return {"device": device, "backend": keras.backend.backend(), "keras": keras.version()}


def _told(error: BaseException) -> str:
    """Return an error in one line: the system's own fault where one lies at its root."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) and inner not in chain:
        chain.append(inner)
    system = [e for e in chain if isinstance(e, OSError) and e.errno and e.strerror]
    told = system[-1] if system else error
    lines = str(told).strip().splitlines()
    return f"{type(told).__name__}: {lines[0]}"[:LENGTH] if lines else type(told).__name__


TRIALS: dict[str, Callable[[], dict[str, Any]]] = {
    "root": root,
    "registry": registry,
    "server": server,
    "app": app,
    "framework": framework,
}

if __name__ == "__main__":
    try:
        answer = TRIALS[sys.argv[1]]()
    except Exception as error:
        answer = {"fault": _told(error)}
    print(f"\n{json.dumps(answer)}", flush=True)
    os._exit(0)  # what libraries do as they end concerns nobody
