"""`polycast serve`: a version behind MLflow's scoring server, until Ctrl-C."""

import ipaddress
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console

from data_contracts.contract import Contract
from flows.console import open_console
from flows.up import port_is_free
from tasks import registry
from tasks.chosen import chosen
from tasks.errors import DataError

if TYPE_CHECKING:
    from tasks.serving.app import Current

LOOK = 15.0
"""Seconds between looks at which version is champion."""
log = logging.getLogger("polycast")


def serve(contract: Contract, version: str | None, host: str, port: int) -> None:
    """Answer requests with a version, or with whichever is champion, until Ctrl-C.

    Raises DataError where there is no champion, WrongRequest for a version that is not there, and
    OSError where the port is taken.
    """
    if not port_is_free(port):
        raise OSError(f"port {port} is taken: choose another with --port")
    console = Console(highlight=False)
    _open_to_all(console, host)
    first = chosen(contract.registered_model, version)
    open_console(draw=False)  # TensorFlow's own words go to a file
    with console.status(f"loading {first.model} version {first.version} …"):
        import uvicorn

        from tasks.serving.app import Current

        app = Current(first)
    settings = uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="off")
    follows = _following(app, contract, console) if version is None else nullcontext()
    with app, follows:
        console.print(_ready(app, host, port, version is None), soft_wrap=True)
        with suppress(KeyboardInterrupt):  # raised again once the server has ended
            uvicorn.Server(settings).run()
    console.print("stopped")


def _open_to_all(console: Console, host: str) -> None:
    """Say so where others than this machine are let in: the server asks nobody who they are."""
    loopback = host == "localhost" or _address(host).is_loopback
    if not loopback:
        console.print(
            f"[yellow]{host} lets other machines in, and nobody is asked who they are[/]: put a "
            "proxy with TLS and users before it (deployments/SERVING.md)"
        )


def _address(host: str) -> Any:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise DataError(f"--host {host}: expected an IP address or localhost") from None


@contextmanager
def _following(app: "Current", contract: Contract, console: Console) -> Iterator[None]:
    """Load another champion where the alias moves; the one before answers until it is there."""
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(LOOK):
            try:
                renew(app, contract, console)
            except Exception as error:  # whatever a registry raises: the served version stays
                log.warning("still version %s: %s", app.version.version, error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def renew(app: "Current", contract: Contract, console: Console) -> None:
    """Let the champion answer from now on, where it is another version than the one that does."""
    current = registry.champion(contract.registered_model)
    if current is not None and current.version != app.version.version:
        app.load(current)
        console.print(f"version {current.version} is champion now, and answers")


def _ready(app: "Current", host: str, port: int, follows: bool) -> str:
    """Return what says that all is there, with a request that can be pasted."""
    body = json.dumps({"dataframe_records": [app.example]}, ensure_ascii=False)
    later = ", and whichever is champion later" if follows else ""
    shown = f"[{host}]" if ":" in host else host
    return (
        f"[bold green]Ready.[/] {app.version.model} version {app.version.version}{later}, until "
        f"Ctrl-C. Try:\n\ncurl http://{shown}:{port}/invocations "
        f"-H 'Content-Type: application/json' \\\n  -d '{body}'\n"
    )
