"""`polycast up`: the Prefect UI and the MLflow UI over the storage root, until Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from flows.guard import guarded
from flows.server import HOST, ServerFault, addresses_file, prefect_home, wait_for
from tasks.registry import artifact_folder, client, tracking_address
from tasks.storage import local_home

Server = subprocess.Popen[bytes]


def serve(prefect_port: int, mlflow_port: int) -> None:
    """Start both servers, say where they are, and stop them on Ctrl-C or SIGTERM.

    Raises ServerFault where a port is taken or a server does not start.
    """
    for name, port in (("prefect", prefect_port), ("mlflow", mlflow_port)):
        if not _free(port):
            raise ServerFault(f"port {port} is taken: choose another with --{name}-port")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False)
    addresses = {
        "prefect": f"http://{HOST}:{prefect_port}",
        "mlflow": f"http://{HOST}:{mlflow_port}",
    }
    with ExitStack() as stack:
        with console.status("starting …"):
            servers = {
                "Prefect": _prefect(addresses["prefect"], prefect_port, stack),
                "MLflow": _mlflow(addresses["mlflow"], mlflow_port, stack),
            }
        addresses_file().write_text(json.dumps(addresses), "utf-8")
        stack.callback(addresses_file().unlink, missing_ok=True)
        for name, address in addresses.items():
            console.print(f"[green]✔[/] {name:<8} {address}")
        console.print("Runs report here until Ctrl-C.", style="dim")
        console.file.flush()
        _watch(servers)
        console.print("stopped")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _prefect(address: str, port: int, stack: ExitStack) -> Server:
    # The UI calls port 4200 wherever it is served, until it is told its address.
    environment = os.environ | {
        "PREFECT_HOME": str(prefect_home()),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_API_URL": f"{address}/api",
    }
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    log = prefect_home() / "server.log"
    return _start(command, environment, log, f"{address}/api/health", stack)


def _mlflow(address: str, port: int, stack: ExitStack) -> Server:
    client()
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", tracking_address()]
    artifacts = artifact_folder()
    if artifacts is not None:
        command += ["--default-artifact-root", artifacts.as_uri()]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = local_home() / "registry" / "server.log"
    return _start(command, environment, log, f"{address}/health", stack)


def _start(
    command: list[str], environment: dict[str, str], log: Path, health: str, stack: ExitStack
) -> Server:
    process = stack.enter_context(guarded(command, log, environment))
    wait_for(process, health, log)
    return process


def _watch(servers: dict[str, Server]) -> None:
    """Return on Ctrl-C or SIGTERM. Raises ServerFault when a server ends by itself."""
    try:
        while True:
            time.sleep(0.5)
            for name, process in servers.items():
                if process.poll() is not None:
                    raise ServerFault(f"{name}'s server ended with code {process.returncode}")
    except KeyboardInterrupt:
        return
