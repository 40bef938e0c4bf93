"""The Prefect server that a run reports to: the configured one, a running one, or a temporary.

The temporary server is Prefect's own, on a free loopback port, with its files under the storage
root and its log in `prefect/server.log`. It ends with the process that started it, however that
process ends: `python -m flows.server PORT` watches its standard input.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.storage import local_home

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
def prefect_server() -> Iterator[str | None]:
    """Yield the address of the server that runs report to, or None where Prefect knows it.

    Raises ServerFault where a temporary one does not start.
    """
    configure()
    if configured():
        yield os.environ.get("PREFECT_API_URL")
        return
    running = running_server()
    if running is not None:
        os.environ["PREFECT_API_URL"] = running
        yield running
        return
    with _temporary() as address:
        os.environ["PREFECT_API_URL"] = address
        yield address


def addresses_file() -> Path:
    """Return the file in which `polycast up` notes the addresses of what it started."""
    return local_home() / "servers.json"


def running_server() -> str | None:
    """Return the address of the server that `polycast up` started, if it answers."""
    try:
        address: str = json.loads(addresses_file().read_text("utf-8"))["prefect"]
    except (OSError, ValueError, KeyError):
        return None
    return address if healthy(f"{address}/health") else None


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
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _temporary() -> Iterator[str]:
    port = free_port()
    log = prefect_home() / "server.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(port)],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}/api"
        wait_for(process, f"{address}/health", log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Return when a server answers. Raises ServerFault when it ends or takes too long."""
    start = time.monotonic()
    while not healthy(address):
        if process.poll() is not None:
            raise ServerFault(f"the server ended with code {process.returncode}: see {log}")
        if time.monotonic() - start > PATIENCE:
            raise ServerFault(f"the server did not answer within {PATIENCE:.0f} s: see {log}")
        time.sleep(0.05)


def _serve(port: int) -> None:
    """Run Prefect's server until standard input closes."""
    import uvicorn

    os.environ["PREFECT_UI_ENABLED"] = "0"
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        timeout_graceful_shutdown=2,
    )


def _stop_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
