"""The Prefect server that a run reports to: the configured one, a running one, or a temporary.

The temporary server is Prefect's own, on a free loopback port, with its files under the storage
root and its log in `prefect/server.log`. It ends with the process that started it, however that
process ends.
"""

import json
import os
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.guard import guarded
from flows.prefect_database import whole_database
from tasks.learning.news import tell_starting
from tasks.storage import local_home

HOST = "127.0.0.1"
SERVER = ("flows.beside", "uvicorn", "--factory", "prefect.server.api.server:create_app")
"""The module, and its options, that serve Prefect's interface without the command of Prefect."""
PATIENCE = 120.0
"""Seconds that a server may take to start: its first migration is slow."""


class ServerFault(Exception):
    """The Prefect server did not come up."""


def configure() -> None:
    """Set what Prefect reads from the environment; to be called before Prefect is imported.

    Prefect's files go under the storage root, unless the user has configured a server.
    """
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "polycast")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # News from outside a flow, such as that a server starts, are for the terminal alone.
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY", "false")
    if not configured() and "PREFECT_HOME" not in os.environ:
        os.environ["PREFECT_HOME"] = str(prefect_home())


def configured() -> bool:
    """Say whether the user names a server, in the environment or in Prefect's profile."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    folder = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    try:
        profiles = tomllib.loads((folder / "profiles.toml").read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return False
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return "PREFECT_API_URL" in profiles.get("profiles", {}).get(active, {})


def prefect_home() -> Path:
    """Return the folder of Prefect's own files under the storage root."""
    folder = local_home() / "prefect"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def team_server() -> Iterator[None]:
    """Use the configured server or that of `polycast up` within the block.

    Raises ServerFault where there is neither: a temporary one would be gone with this process.
    """
    configure()
    if not configured() and not running():
        raise ServerFault(
            "no Prefect server is known here: start `polycast up` in this folder, or set "
            "PREFECT_API_URL to the address of one, such as http://127.0.0.1:4200/api"
        )
    with prefect_server():
        yield


def report_to(address: str) -> None:
    """Have Prefect report to a server, in this process and in those that it starts.

    To be called before Prefect is imported: it reads its environment once, and told too late, it
    would start a server of its own beside ours.
    """
    os.environ["PREFECT_API_URL"] = address


@contextmanager
def prefect_server() -> Iterator[str | None]:
    """Yield the address of the server that runs report to, or None where Prefect knows it.

    Raises ServerFault where a temporary one does not start.
    """
    configure()
    if configured():
        address = os.environ.get("PREFECT_API_URL")
        if address and address.startswith("http://") and not healthy(f"{address}/health"):
            raise ServerFault(
                f"no Prefect server answers at {address}: start it, or unset PREFECT_API_URL"
            )
        yield address
        return
    addresses = running()
    if addresses:
        address = f"{addresses['prefect']}/api"
        report_to(address)
        yield address
        return
    with _temporary() as address:
        report_to(address)
        yield address


def addresses_file() -> Path:
    """Return the file in which `polycast up` notes the addresses of what it started."""
    return local_home() / "servers.json"


def running() -> dict[str, str]:
    """Return the addresses of what `polycast up` started, by name; empty where none answers."""
    try:
        addresses: dict[str, str] = json.loads(addresses_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return addresses if healthy(f"{addresses['prefect']}/api/health") else {}


def healthy(address: str) -> bool:
    """Say whether a server answers at an address on this machine."""
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _temporary() -> Iterator[str]:
    port = free_port()
    log = prefect_home() / "server.log"
    options = ["--host", HOST, "--port", str(port), "--log-level", "error"]
    environment = os.environ | {"PREFECT_UI_ENABLED": "0"}
    tell_starting("a temporary Prefect server")
    address = f"http://{HOST}:{port}/api"
    with ExitStack() as held:
        with whole_database(prefect_home()):
            process = held.enter_context(guarded([*SERVER, *options], log, environment))
            wait_for(process, f"{address}/health", log)
        try:
            yield address
        finally:
            _send_logs()


def _send_logs() -> None:
    """Send what the log still holds: without its server, it would try for a minute at exit."""
    handlers = sys.modules.get("prefect.logging.handlers")
    if handlers is not None:
        handlers.APILogHandler().flush()


def wait_for(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Return when a server answers. Raises ServerFault when it ends or takes too long."""
    start = time.monotonic()
    while not healthy(address):
        if process.poll() is not None:
            raise ServerFault(f"the server ended with code {process.returncode}: see {log}")
        if time.monotonic() - start > PATIENCE:
            raise ServerFault(f"the server did not answer within {PATIENCE:.0f} s: see {log}")
        time.sleep(0.05)
