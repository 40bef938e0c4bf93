"""A team's topology as processes on loopback: what `deployments/compose.yaml` runs as containers.

PostgreSQL from Debian's package, moto's server as object storage, the servers of Prefect and
MLflow over both, and a worker for each pool. Each part is a Service under guard: it ends with the
tests, however they end. `python -m tests.topology COMMAND …` becomes COMMAND, for parts that are
no Python modules.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flows.automations import HEARTBEAT
from flows.deploying import CPU, GPU
from flows.server import HOST, free_port
from flows.service import Service, stop_all
from flows.team import LEASES
from tests.following import Following
from tests.walk import polycast, surroundings

POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
BUCKET = "polycast"
PATIENCE = 60.0
"""Seconds that a database may take to answer."""


def needs_postgres() -> pytest.MarkDecorator:
    """Return the mark that skips where PostgreSQL is not installed."""
    absent = POSTGRES is None and "POLYCAST_ALL_PARTS" not in os.environ
    return pytest.mark.skipif(absent, reason="the system package postgresql is not installed")


def port_of(service: Service) -> int:
    """Return the port on which a service answers."""
    port = urlsplit(str(service.health)).port
    assert port is not None
    return port


def child(service: Service) -> int:
    """Return the id of the process that a service's guard started."""
    assert service.process is not None
    guard = service.process.pid
    return int(Path(f"/proc/{guard}/task/{guard}/children").read_text().split()[0])


def kill(service: Service) -> None:
    """End a service as an accident would, with SIGKILL, and return when its guard has ended."""
    os.kill(child(service), signal.SIGKILL)
    assert service.process is not None
    service.process.wait(30)


# PostgreSQL


def _as_postgres() -> list[str]:
    """Return what to put before a command of PostgreSQL, which refuses to run as root."""
    if os.geteuid():
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@dataclass
class Postgres:
    """A database server and where it answers."""

    service: Service
    port: int

    def address(self, database: str, driver: str) -> str:
        """Return the SQLAlchemy address of a database."""
        return f"postgresql+{driver}://polycast@{HOST}:{self.port}/{database}"

    def wait(self) -> None:
        """Return when it takes connections. Raises AssertionError after a while."""
        import psycopg

        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            assert time.monotonic() < deadline, self.service.log.read_text("utf-8")
            time.sleep(0.1)

    def execute(self, statement: str) -> None:
        """Run one statement."""
        import psycopg

        with psycopg.connect(
            host=HOST, port=self.port, user="polycast", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    def start_again(self) -> None:
        """Start a server that was killed, over the same data."""
        self.service.start_again()
        self.wait()


@contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """Yield a PostgreSQL that holds these databases and trusts whoever asks on loopback."""
    assert POSTGRES is not None, "the system package postgresql is not installed"
    folder = Path(tempfile.mkdtemp(prefix="polycast-postgres-"))
    if not os.geteuid():
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", free_port()
    make = [str(POSTGRES / "initdb"), "-D", str(data), "-U", "polycast", "-A", "trust", "--no-sync"]
    subprocess.run(
        [*_as_postgres(), *make, "-E", "UTF8", "--locale", "C"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    run = [str(POSTGRES / "postgres"), "-D", str(data), "-h", HOST, "-p", str(port), "-k", ""]
    command = ["tests.topology", *_as_postgres(), *run]
    server = Postgres(
        Service("PostgreSQL", command, surroundings({}), folder / "postgres.log"), port
    )
    try:
        server.service.start()
        server.wait()
        for name in databases:
            server.execute(f"CREATE DATABASE {name}")
        yield server
    finally:
        server.service.stop()
        shutil.rmtree(folder)


# Object storage


def moto(folder: Path) -> Service:
    """Return moto's server, which keeps all that it is given in memory."""
    port = free_port()
    return Service(
        "object storage",
        ["moto.server", "-H", HOST, "-p", str(port)],
        surroundings({}),
        folder / "moto.log",
        f"http://{HOST}:{port}/moto-api/",
    )


def reached(port: int) -> dict[str, str]:
    """Return the environment in which S3's clients find the server at a port."""
    return {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def make_bucket(port: int) -> None:
    """Make the team's bucket on the server at a port."""
    import s3fs

    given = reached(port)
    s3fs.S3FileSystem(
        key=given["AWS_ACCESS_KEY_ID"],
        secret=given["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=given["AWS_ENDPOINT_URL"],
    ).mkdir(BUCKET)


class Way:
    """A way to a port of a server: what comes is passed on, until the way is shut."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self._listener: socket.socket | None = None
        self._passing: set[socket.socket] = set()
        self.open()

    def open(self) -> None:
        """Take connections."""
        self._listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._take, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections, and break those there are."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in list(self._passing):
            _hang_up(end)

    def _take(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection((HOST, self.target))
                for one, other in ((here, there), (there, here)):
                    self._passing.add(one)
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(1 << 16):
                other.sendall(piece)
        _hang_up(other)
        self._passing.discard(one)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


# Servers and workers


@dataclass
class Topology:
    """A team's parts, and the environment in which `polycast` finds them."""

    folder: Path
    """Where commands are run: here lies `data_contracts/`."""
    database: Postgres
    storage: Service
    way: Way
    """The only way that the servers and workers know to the storage."""
    prefect: Service
    mlflow: Service
    workers: dict[str, Service]
    """By pool."""
    settings: dict[str, str]

    @property
    def runs(self) -> Following:
        """Runs on the team's Prefect server."""
        return Following(self.settings["PREFECT_API_URL"])

    def polycast(self, *words: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Run the command as one of the team would."""
        return polycast(self.folder, *words, **(self.settings | changes))


@contextmanager
def topology(folder: Path) -> Iterator[Topology]:
    """Yield a team's topology that is up, with the deployments of the contracts in `folder`."""
    with ExitStack() as held:
        database = held.enter_context(postgres("prefect", "mlflow"))
        storage = moto(folder)
        held.callback(storage.stop)
        storage.start()
        storage.wait()
        way = Way(port_of(storage))
        held.callback(way.shut)
        make_bucket(port_of(storage))
        settings = reached(way.port)
        servers = prefect(folder, database), mlflow(folder, database, settings)
        held.callback(stop_all, servers)
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        settings |= {
            "POLYCAST_HOME": f"s3://{BUCKET}/home",
            "PREFECT_API_URL": f"http://{HOST}:{port_of(servers[0])}/api",
            "MLFLOW_TRACKING_URI": f"http://{HOST}:{port_of(servers[1])}",
        }
        deployed = polycast(folder, "deploy", **settings)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        workers = {pool: worker(folder, pool, settings) for pool in (CPU, GPU)}
        held.callback(stop_all, workers.values())
        for service in workers.values():
            service.start()
        team = Topology(folder, database, storage, way, *servers, workers, settings)
        team.runs.wait_for_workers(*workers)
        yield team


def prefect(folder: Path, database: Postgres) -> Service:
    """Return the Prefect server over PostgreSQL."""
    address = f"http://{HOST}:{(port := free_port())}"
    environment = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.address("prefect", "asyncpg"),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_UI_ENABLED": "0",
    }
    return Service(
        "the Prefect server",
        ["prefect", "server", "start", "--host", HOST, "--port", str(port)],
        surroundings(environment),
        folder / "prefect.log",
        f"{address}/api/ready",
    )


def mlflow(folder: Path, database: Postgres, storage: Mapping[str, str]) -> Service:
    """Return the MLflow server over PostgreSQL, which keeps artifacts in object storage."""
    port = free_port()
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database.address("mlflow", "psycopg")]
    command += ["--artifacts-destination", f"s3://{BUCKET}/mlflow"]
    off = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Service(
        "the MLflow server",
        command,
        surroundings({**storage, **off}),
        folder / "mlflow.log",
        f"http://{HOST}:{port}/health",
    )


def worker(folder: Path, pool: str, settings: Mapping[str, str]) -> Service:
    """Return a worker of a pool, working in `folder`."""
    command = ["prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", pool]
    environment = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
        "PREFECT_CLIENT_MAX_RETRIES": "7",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    }
    return Service(
        f"the worker of {pool}",
        ["tests.topology", "env", "-C", str(folder), sys.executable, "-m", *command],
        surroundings({**settings, **environment}),
        folder / f"{pool}.log",
    )


if __name__ == "__main__":
    os.execvp(sys.argv[1], sys.argv[1:])
