"""Nothing leaves the machine: every connection to the outside is noted and refused."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.server import free_port
from tests.walk import DATASET, command, polycast, surroundings, write_contract

CHROMIUM = shutil.which("chromium")
REFUSING = """
import os, socket, sys
NAMES = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.getaddrinfo": 0,
         "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}
HERE = {None, "", "localhost", "0.0.0.0", "::", "::1", socket.gethostname()}

def refuse(event, given):
    if event not in NAMES:
        return
    address = given[NAMES[event]]
    host = address[0] if isinstance(address, tuple) else address
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if not isinstance(address, tuple):
            return  # a socket of this machine's own
    if isinstance(host, bytes):
        host = host.decode()
    if host in HERE or host.startswith("127."):
        return
    with open(os.environ["OUTSIDE"], "a") as noted:
        noted.write(f"{event} {address} by {sys.argv}\\n")
    raise OSError(f"refused by the test: {address}")

sys.addaudithook(refuse)
"""
"""What every Python process of a test runs as it starts: Python itself tells of connections."""


@dataclass(frozen=True)
class Watch:
    """An environment whose processes can reach this machine alone."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        folder = self.folder / "refusing"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(REFUSING, "utf-8")
        path = f"{folder}{os.pathsep}{surroundings({})['PYTHONPATH']}"
        return {"PYTHONPATH": path, "OUTSIDE": str(self.folder / "outside")}

    def noted(self) -> list[str]:
        """Return the connections that were tried and refused."""
        file = self.folder / "outside"
        return file.read_text("utf-8").splitlines() if file.exists() else []


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    write_contract(tmp_path)
    return Watch(tmp_path)


def test_a_connection_to_the_outside_is_noted_and_refused(watch: Watch) -> None:
    program = "import urllib.request as u; u.urlopen('http://192.0.2.1/')"
    tried = subprocess.run(
        [sys.executable, "-c", program],
        env=surroundings(watch.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "refused by the test" in tried.stderr
    assert [line.split(" by ")[0] for line in watch.noted()] == ["socket.getaddrinfo 192.0.2.1"]


def test_a_retrain_asks_nobody_outside(watch: Watch, api: str) -> None:
    environment = watch.environment | {"PREFECT_API_URL": api}
    result = polycast(watch.folder, "retrain", DATASET, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not watch.noted()


# The kernel counts what no Python process tells of: libraries in C and C++.

ALONE = """
import fcntl, socket, struct, subprocess, sys
with socket.socket() as any_:  # the loopback interface, up
    fcntl.ioctl(any_, 0x8914, struct.pack("16sh", b"lo", 0x49))
code = subprocess.run(sys.argv[1:]).returncode
for file, kind in (("/proc/net/snmp", "Ip:"), ("/proc/net/snmp6", "Ip6OutNoRoutes")):
    lines = [line.split() for line in open(file) if line.startswith(kind)]
    if len(lines) == 2:
        lines = [["", dict(zip(*lines, strict=True))["OutNoRoutes"]]]
    print("without a route:", lines[0][1])
sys.exit(code)
"""


def may_be_alone() -> bool:
    tried = ["unshare", "-rn", "true"]
    return not subprocess.run(tried, check=False, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.skipif(not may_be_alone(), reason="no network of one's own can be made here")
@pytest.mark.parametrize(
    ("words", "packets"),
    [
        (["-c", "import socket as s; s.socket(2, 2).connect_ex(('192.0.2.1', 9))"], 1),
        (["-m", "flows", "retrain", DATASET], 0),
    ],
)
def test_no_library_tries_a_network_that_is_away(
    watch: Watch, words: list[str], packets: int
) -> None:
    result = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", ALONE, sys.executable, *words],
        cwd=watch.folder,
        env=surroundings({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    counted = [line for line in result.stdout.splitlines() if line.startswith("without a route:")]
    assert counted == [f"without a route: {packets}", "without a route: 0"]


@contextmanager
def up(watch: Watch) -> Iterator[list[str]]:
    """Run `polycast up` on ports of its own; yield the addresses of both pages."""
    ports = [str(free_port()), str(free_port())]
    words = ["up", "--prefect-port", ports[0], "--mlflow-port", ports[1], "--gpus", "1"]
    with subprocess.Popen(
        command(*words),
        cwd=watch.folder,
        env=surroundings(watch.environment),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert any(line.startswith("Ready.") for line in process.stdout)
            yield [f"http://127.0.0.1:{port}" for port in ports]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.skipif(
    CHROMIUM is None and "POLYCAST_ALL_PARTS" not in os.environ,
    reason="the system package chromium is not installed",
)
def test_the_servers_the_workers_and_their_pages_ask_nobody_outside(watch: Watch) -> None:
    with up(watch) as (prefect, mlflow):
        result = polycast(watch.folder, "retrain", DATASET, "--remote", **watch.environment)
        assert result.returncode == 0, result.stdout + result.stderr
        pages = [f"{prefect}/{p}" for p in ("dashboard", "runs", "deployments", "artifacts")]
        asked = visited([*pages, f"{mlflow}/#/models/{DATASET}", f"{mlflow}/#/experiments"])
    assert any(address.startswith(f"{prefect}/api/") for address in asked)
    assert any(address.startswith(f"{mlflow}/ajax-api/") for address in asked)
    outside = {a for a in asked if not a.startswith((prefect, mlflow, "data:", "blob:"))}
    assert not outside
    assert not watch.noted()


def visited(pages: list[str]) -> set[str]:
    """Return all addresses that a browser asks for to show pages; outside, nobody answers it."""
    from playwright.sync_api import sync_playwright

    asked: set[str] = set()
    options = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=options)
        page: Any = chromium.new_page()
        page.on("request", lambda request: asked.add(request.url))
        for address in pages:
            page.goto(address)
            page.wait_for_timeout(5000)
        chromium.close()
    return asked
