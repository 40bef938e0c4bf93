"""Servers open to others: nginx with TLS before `polycast up`, as SECURITY.md writes it."""

import base64
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.server import free_port
from tests.walk import DATASET, command, polycast, surroundings, write_contract

CHROMIUM = shutil.which("chromium")
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NGINX is None and "POLYCAST_ALL_PARTS" not in os.environ,
        reason="the system package nginx is not installed",
    ),
]
WORD = "a-word-for-the-team"
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    {paths}
    {servers}
}}
"""


@dataclass(frozen=True)
class Exposed:
    """A team's servers behind TLS: their addresses, and the certificate that they show."""

    folder: Path
    prefect: str
    mlflow: str
    inside: list[str]
    certificate: Path

    @property
    def settings(self) -> dict[str, str]:
        """What a client elsewhere sets."""
        return {
            "PREFECT_API_URL": f"{self.prefect}/api",
            "PREFECT_API_AUTH_STRING": f"team:{WORD}",
            "PREFECT_API_SSL_CERT_FILE": str(self.certificate),
            "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_TRACKING_USERNAME": "team",
            "MLFLOW_TRACKING_PASSWORD": WORD,
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.certificate),
        }

    def status(self, address: str, word: str | None) -> int:
        """Return the status of an answer over TLS, with the team's user and a word, or without."""
        request = urllib.request.Request(address)
        if word:
            basic = base64.b64encode(f"team:{word}".encode()).decode()
            request.add_header("Authorization", f"Basic {basic}")
        known = ssl.create_default_context(cafile=str(self.certificate))
        try:
            with urllib.request.urlopen(request, timeout=30, context=known) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    folder = tmp_path_factory.mktemp("team")
    write_contract(folder)
    outside = [f"https://localhost:{free_port()}" for _ in range(2)]
    inside = [str(free_port()) for _ in range(2)]
    found = Exposed(folder, *outside, inside, certificate(folder))
    with ExitStack() as held:
        held.enter_context(running(found, "up", "--gpus", "0"))
        held.enter_context(nginx(found))
        yield found


def certificate(folder: Path) -> Path:
    """Make a certificate that localhost signs itself; its key lies beside it."""
    made = folder / "cert.pem"
    asked = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(made)]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *asked, *files, *names], check=True, capture_output=True)
    return made


@contextmanager
def running(found: Exposed, *words: str) -> Iterator[None]:
    """Run `polycast up` with the settings that SECURITY.md names."""
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": f"team:{WORD}",
        "PREFECT_API_AUTH_STRING": f"team:{WORD}",
        "PREFECT_UI_URL": found.prefect,
        "PREFECT_UI_API_URL": f"{found.prefect}/api",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": found.mlflow,
    }
    prefect, mlflow = found.inside
    with subprocess.Popen(
        command(*words, "--prefect-port", prefect, "--mlflow-port", mlflow),
        cwd=found.folder,
        env=surroundings(settings),
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        try:
            assert any(line.startswith("Ready.") for line in up.stdout)
            yield
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate(timeout=60)


@contextmanager
def nginx(found: Exposed) -> Iterator[None]:
    """Run nginx with the configuration of SECURITY.md, on ports and names of this machine."""
    assert NGINX is not None, "the system package nginx is not installed"
    text = (Path(__file__).parents[1] / "deployments/SECURITY.md").read_text("utf-8")
    (servers,) = re.findall(r"<!-- nginx -->\n```nginx\n(.+?)\n```", text, re.S)
    moved = {
        "443 ssl": f"{found.prefect.rsplit(':', 1)[1]} ssl",
        "5443 ssl": f"{found.mlflow.rsplit(':', 1)[1]} ssl",
        "127.0.0.1:4200": f"127.0.0.1:{found.inside[0]}",
        "127.0.0.1:5000": f"127.0.0.1:{found.inside[1]}",
        "/etc/polycast": str(found.folder),
        "prefect.example.org": "localhost",
        "mlflow.example.org": "localhost",
    }
    for there, here in moved.items():
        servers = re.sub(rf"(?<!\d){re.escape(there)}", here, servers)
    hashed = ["openssl", "passwd", "-apr1", WORD]
    users = subprocess.run(hashed, check=True, capture_output=True, text=True).stdout
    (found.folder / "users").write_text(f"team:{users}", "utf-8")
    found.folder.chmod(0o755)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n    ".join(f"{kind}_temp_path {found.folder}/{kind};" for kind in kinds)
    file = found.folder / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    file.write_text(user + MAIN.format(folder=found.folder, paths=paths, servers=servers), "utf-8")
    server = subprocess.Popen([NGINX, "-c", file, "-e", found.folder / "error.log"])
    try:
        reachable(found)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def reachable(found: Exposed) -> None:
    """Return when nginx answers. Raises AssertionError after a while."""
    deadline = time.monotonic() + 30
    while True:
        with suppress(OSError):
            found.status(found.mlflow, WORD)
            return
        assert time.monotonic() < deadline, (found.folder / "error.log").read_text("utf-8")
        time.sleep(0.1)


def test_nobody_is_answered_without_the_password(exposed: Exposed) -> None:
    prefect = f"{exposed.prefect}/api/admin/version"
    mlflow = f"{exposed.mlflow}/version"
    for address in (prefect, mlflow):
        answers = [exposed.status(address, word) for word in (None, "another", WORD)]
        assert answers == [401, 401, 200], address


def test_both_servers_listen_on_loopback_alone(exposed: Exposed) -> None:
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    for port in exposed.inside:
        [address] = {a.split(":")[0] for a in listening if int(a.split(":")[1], 16) == int(port)}
        assert address == "0100007F"


def test_a_retrain_from_elsewhere_goes_through_and_doctor_agrees(
    exposed: Exposed, tmp_path: Path
) -> None:
    write_contract(tmp_path)
    asked = polycast(tmp_path, "doctor", **exposed.settings)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    result = polycast(tmp_path, "retrain", DATASET, **exposed.settings)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Published {DATASET} version 1" in result.stdout


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("PREFECT_API_AUTH_STRING", "team:another", "PREFECT_API_AUTH_STRING"),
        ("PREFECT_API_SSL_CERT_FILE", "", "PREFECT_API_SSL_CERT_FILE"),
    ],
)
def test_a_client_that_is_refused_is_told_which_setting_lets_it_in(
    exposed: Exposed, tmp_path: Path, setting: str, value: str, said: str
) -> None:
    write_contract(tmp_path)
    result = polycast(tmp_path, "retrain", DATASET, **(exposed.settings | {setting: value}))
    assert result.returncode == 1, result.stdout + result.stderr
    assert said in result.stderr
    assert "another" not in result.stderr


@pytest.mark.chromium
@pytest.mark.skipif(
    CHROMIUM is None and "POLYCAST_ALL_PARTS" not in os.environ,
    reason="the system package chromium is not installed",
)
def test_both_pages_show_what_they_know_through_the_proxy(exposed: Exposed) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        known: dict[str, Any] = {"username": "team", "password": WORD}
        context = chromium.new_context(ignore_https_errors=True, http_credentials=known)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{exposed.prefect}/deployments")
        page.locator("input[type=password]").fill(f"team:{WORD}")
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_text(DATASET).first).to_be_visible(timeout=60_000)
        page.goto(f"{exposed.mlflow}/#/experiments")
        expect(page.get_by_role("link", name="Default")).to_be_visible(timeout=60_000)
        chromium.close()
