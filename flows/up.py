"""`polycast up`: the Prefect UI and the MLflow UI over the storage root, until Ctrl-C."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from flows.server import ServerFault, addresses_file, healthy, prefect_home, wait_for
from tasks.registry import artifact_folder, client, tracking_address
from tasks.storage import local_home

HOST = "127.0.0.1"


def serve(prefect_port: int, mlflow_port: int) -> None:
    """Start both servers, say where they are, and stop them on Ctrl-C.

    Raises ServerFault where a port is taken or a server does not start.
    """
    for name, port in (("prefect", prefect_port), ("mlflow", mlflow_port)):
        if not _free(port):
            raise ServerFault(f"port {port} is taken: choose another with --{name}-port")
    console = Console(highlight=False)
    with ExitStack() as stack:
        with console.status("starting …"):
            prefect = _prefect(prefect_port, stack)
            mlflow = _mlflow(mlflow_port, stack)
        addresses = {"prefect": f"{prefect}/api", "mlflow": mlflow}
        addresses_file().write_text(json.dumps(addresses), "utf-8")
        stack.callback(addresses_file().unlink, missing_ok=True)
        console.print(f"[green]✔[/] Prefect UI   {prefect}")
        console.print(f"[green]✔[/] MLflow UI    {mlflow}")
        console.print("Runs report here until Ctrl-C.", style="dim")
        try:
            while all(p.poll() is None for p in _processes):
                _processes[0].wait(timeout=None)
        except KeyboardInterrupt:
            console.print("stopped")


_processes: list["subprocess.Popen[bytes]"] = []


def _free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _prefect(port: int, stack: ExitStack) -> str:
    address = f"http://{HOST}:{port}"
    environment = os.environ | {
        "PREFECT_HOME": str(prefect_home()),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    _start([sys.executable, "-m", *command], environment, prefect_home() / "server.log",
           f"{address}/api/health", stack)
    return address


def _mlflow(port: int, stack: ExitStack) -> str:
    address = f"http://{HOST}:{port}"
    client()
    artifacts = artifact_folder()
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", tracking_address()]
    if artifacts is not None:
        command += ["--default-artifact-root", artifacts.as_uri()]
    log = local_home() / "registry" / "server.log"
    _start([sys.executable, "-m", *command], dict(os.environ), log, f"{address}/health", stack)
    return address


def _start(
    command: list[str], environment: dict[str, str], log: Path, health: str, stack: ExitStack
) -> None:
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    stack.callback(_stop, process)
    _processes.append(process)
    wait_for(process, health, log)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


__all__ = ["healthy", "serve"]
