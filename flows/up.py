"""`polycast up`: all that a team needs on one machine, until Ctrl-C."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from data_contracts.loading import contract_files
from flows.display.contracts import show_deployed
from flows.prefect_database import whole_database
from flows.server import (
    HOST,
    PATIENCE,
    ServerFault,
    addresses_file,
    prefect_home,
    report_to,
)
from flows.service import Service, stop_all

PREFECT_PORT = 4200
MLFLOW_PORT = 5000
LOOK = 0.5
"""Seconds between looks at the processes and at the contracts' files."""


def serve(prefect_port: int, mlflow_port: int, retrains: int | None, gpus: int | None) -> None:
    """Start servers and workers, say where they are, and stop them on Ctrl-C or SIGTERM.

    retrains: how many may run at once here; None for as many as there are cores.
    gpus: how many GPU workers to start; None for as many as the machine has GPUs.
    Raises ServerFault where a port is taken, or where something does not start or keeps ending.
    """
    for name, port in (("prefect", prefect_port), ("mlflow", mlflow_port)):
        if not port_is_free(port):
            raise ServerFault(f"port {port} is taken: choose another with --{name}-port")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False)
    addresses = {
        "prefect": f"http://{HOST}:{prefect_port}",
        "mlflow": f"http://{HOST}:{mlflow_port}",
    }
    with ExitStack() as stack:
        try:
            services = _start(console, addresses, retrains, gpus, stack)
            stack.enter_context(_noted(addresses))
            console.print("[bold green]Ready.[/] Runs report here until Ctrl-C.")
            console.file.flush()
            _watch(console, services)
        except KeyboardInterrupt:
            console.print("stopping …", style="dim")
    console.print("stopped")


def port_is_free(port: int) -> bool:
    """Say whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _start(
    console: Console,
    addresses: dict[str, str],
    retrains: int | None,
    gpus: int | None,
    stack: ExitStack,
) -> list[Service]:
    """Start everything, in the order in which one needs another; return it when all is well."""
    report_to(f"{addresses['prefect']}/api")
    from flows import team

    servers = _servers(addresses)
    with console.status("starting the servers …"):
        stack.callback(stop_all, servers)
        with whole_database(prefect_home()):
            for service in servers:
                service.start()
            for service in servers:
                service.wait()
    console.print(f"[green]✔[/] Prefect  {addresses['prefect']}   [dim]runs, schedules, forms[/]")
    console.print(f"[green]✔[/] MLflow   {addresses['mlflow']}   [dim]models and their records[/]")
    with console.status("registering deployments …"):
        _deploy(console)
    found = team.machine_gpus()
    at_once = retrains or os.cpu_count() or 1
    count = len(found) if gpus is None else gpus
    workers = [team.cpu_worker(addresses["prefect"], at_once)]
    workers += [team.gpu_worker(addresses["prefect"], i) for i in range(count)]
    with console.status("starting the workers …"):
        stack.callback(stop_all, workers)  # before the servers, to which they report
        for service in workers:
            service.start()
        _wait_for_workers(workers)
    console.print(f"[green]✔[/] worker   cpu: {at_once} retrains at once")
    for i in range(count):
        console.print(f"[green]✔[/] worker   gpu {i}: {found[i] if i < len(found) else 'asked'}")
    if not count:
        console.print("[dim]–[/] worker   no GPU here: training runs beside its retrain")
    return [*servers, *workers]


def _servers(addresses: dict[str, str]) -> list[Service]:
    """Return the servers to start; MLflow's only where the user names none, whose address is
    taken otherwise."""
    from flows import team

    ports = {name: int(address.rsplit(":", 1)[1]) for name, address in addresses.items()}
    prefect = team.prefect_service(ports["prefect"])
    if elsewhere := team.registry_elsewhere():
        addresses["mlflow"] = elsewhere
        return [prefect]
    return [prefect, team.mlflow_service(ports["mlflow"])]


def _deploy(console: Console) -> None:
    """Register what the contracts say now, and say so."""
    from flows.deploying import deploy

    deployed = deploy()
    show_deployed(console, deployed.schedules, deployed.unusable)


def _wait_for_workers(workers: list[Service]) -> None:
    """Return when the server knows every worker as online. Raises ServerFault."""
    from flows.deploying import online_workers

    wanted = {service.name.removeprefix("worker ") for service in workers}
    start = time.monotonic()
    while wanted - online_workers():
        for service in workers:
            if service.ended() is not None:
                raise ServerFault(f"{service.name} did not start: see {service.log}")
        if time.monotonic() - start > PATIENCE:
            raise ServerFault(f"no worker was online within {PATIENCE:.0f} s")
        time.sleep(LOOK)


@contextmanager
def _noted(addresses: dict[str, str]) -> Iterator[None]:
    """Note the addresses where runs of this storage root look for them."""
    draft = addresses_file().with_suffix(".part")
    draft.write_text(json.dumps(addresses), "utf-8")
    draft.replace(addresses_file())
    try:
        yield
    finally:
        addresses_file().unlink(missing_ok=True)


def _watch(console: Console, services: list[Service]) -> None:
    """Start again what ends by itself, and register contracts that change."""
    contracts = _contracts()
    while True:
        time.sleep(LOOK)
        for service in services:
            code = service.ended()
            if code is not None:
                console.print(f"[yellow]⚠[/] {service.name} ended with code {code}: started again")
                service.start_again()
                service.wait()
        if (now := _contracts()) != contracts:
            contracts = now
            console.print("the contracts have changed:")
            _deploy(console)


def _contracts() -> dict[Path, float]:
    """Return the contracts' files and when each was last written."""
    found: dict[Path, float] = {}
    for file in contract_files().values():
        try:
            found[file] = file.stat().st_mtime
        except FileNotFoundError:  # gone between the two looks
            continue
    return found
