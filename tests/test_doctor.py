"""What `polycast doctor` finds where something is really broken, and what it says to do."""

import json
import os
import socket
import subprocess
import sys
import threading
import zoneinfo
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from flows import checks, doctor, reach
from flows.checks import Finding
from flows.doctor import Check, examined
from tasks.addresses import clean
from tests.walk import polycast, surroundings, write_contract

NOWHERE = "http://127.0.0.1:9"
"""An address where nothing listens: the port is the discard service's."""
AUTH = "admin:open-sesame"


def only(check: Check) -> Finding:
    """Return the one thing that a check finds, as it is shown."""
    [found] = examined("it", check)
    return found


def install(folder: Path, name: str, version: str, *lines: str) -> str:
    """Write a distribution's metadata as pip leaves it; return the folder, for the path."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    (place / "METADATA").write_text(head + "".join(f"{line}\n" for line in lines), "utf-8")
    return str(folder)


def damage(folder: Path, package: str, text: str = "") -> str:
    """Write a package of which little is left; return the folder, for the path."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(text, "utf-8")
    return str(folder)


def in_own_process(program: str, **settings: str) -> None:
    """Run Python on this test's settings, away from its strictness on warnings."""
    settings["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, env=os.environ | settings, capture_output=True)


# The command.


def test_where_all_is_well_a_retrain_works_and_nothing_is_left_behind(tmp_path: Path) -> None:
    result = polycast(tmp_path, "doctor", COLUMNS="80")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "A retrain works here." in result.stdout.splitlines()[-1]
    assert "none is running: a retrain starts a temporary one" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


def test_all_faults_are_shown_at_once_with_mends_and_without_secrets(tmp_path: Path) -> None:
    settings = {
        "POLYCAST_HOME": "s3://bucket/root",
        "AWS_ENDPOINT_URL": NOWHERE,
        "AWS_ACCESS_KEY_ID": "the-key-id",
        "AWS_SECRET_ACCESS_KEY": "the-key-itself",
        "MLFLOW_TRACKING_URI": "http://somebody:hunter2@127.0.0.1:9",
        "PREFECT_API_URL": "http://somebody:hunter3@127.0.0.1:9/api",
        "KERAS_BACKEND": "torch",
    }
    result = polycast(tmp_path, "doctor", **settings)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "4 things to mend" in result.stdout.splitlines()[-1]
    assert result.stdout.count("✘") == 4 + 1  # and once in the sentence
    assert "http://127.0.0.1:9/api" in result.stdout
    said = result.stdout + result.stderr
    assert not [s for s in ("somebody", "hunter", "the-key") if s in said]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("width", [80, 120])
def test_findings_keep_to_the_width_and_are_whole(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, mend = "long/" * 40, "do that " * 30
    trouble: dict[str, Check] = {"Python": lambda: iter([Finding("Python", "wrong", said, mend)])}
    monkeypatch.setattr(doctor, "CHECKS", trouble)
    monkeypatch.setattr(doctor, "SLOW", ())
    console = Console(width=width, record=True, quiet=False, file=sys.stdout)
    assert not doctor.diagnose(console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert said in "".join(line[17:].strip() for line in lines)
    assert lines[-1] == "1 thing to mend (✘) before a retrain works here."


def test_a_check_that_raises_is_a_finding_and_keeps_those_before_it() -> None:
    def check() -> Iterator[Finding]:
        yield Finding("it", "fine", "so far")
        raise OSError("http://me:secret@host broke")

    first, last = examined("it", check)
    assert first.state == "fine"
    assert last.state == "wrong"
    assert "the check itself failed: OSError: http://host broke" in last.said


# Secrets.


def test_secrets_of_settings_and_addresses_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "tell-nobody")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:a%40b%2Fc@host/db")
    text = "tell-nobody open-sesame a@b/c a%40b%2Fc postgresql://me:x@y@host/db?sslpassword=z&a=b"
    assert clean(text) == "… … … … postgresql://host/db?sslpassword=…&a=b"


# Python and packages.


def test_a_python_that_is_too_old_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = install(tmp_path, "polycast", "0.1.0", "Requires-Python: >=4.5")
    monkeypatch.syspath_prepend(asks)
    found = only(checks.python)
    assert found.state == "wrong"
    assert "where >=4.5 is needed" in found.said


def test_a_package_of_a_wrong_version_is_wrong_and_the_mend_installs_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(checks.packages).state == "fine"
    monkeypatch.syspath_prepend(install(tmp_path, "fastapi", "0.157.0"))
    found = only(checks.packages)
    assert found.state == "wrong"
    assert found.said.startswith("fastapi 0.157.0 is installed, ")
    assert found.mend.startswith("pip install 'fastapi")
    assert "<=0.150" in found.mend


def test_a_missing_package_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = install(tmp_path, "polycast", "0.1.0", "Requires-Dist: polycast-lost-part>=2")
    monkeypatch.syspath_prepend(asks)
    found = only(checks.packages)
    assert (found.state, found.said) == ("wrong", "polycast-lost-part is not installed")
    assert found.mend == "pip install 'polycast-lost-part>=2'"


@pytest.mark.parametrize(
    ("package", "name", "value"),
    [("s3fs", "POLYCAST_HOME", "s3://bucket"), ("jax", "KERAS_BACKEND", "jax")],
)
def test_an_extra_is_asked_for_where_a_setting_calls_for_it(
    package: str, name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, package, "0.0.1"))
    monkeypatch.delenv(name, raising=False)
    assert only(checks.packages).state == "fine"
    monkeypatch.setenv(name, value)
    assert only(checks.packages).said.startswith(f"{package} 0.0.1 is installed")


# Contracts and clock.


def test_a_broken_contract_is_a_note_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_contract(tmp_path)
    file.write_text(file.read_text("utf-8").replace("tolerance:", "tolerence:"), "utf-8")
    (file.parent / "no_yaml.yaml").write_text("a: [", "utf-8")
    monkeypatch.chdir(tmp_path)
    *broken, rest = examined("contracts", checks.contracts)
    assert [f.state for f in broken] == ["note", "note"]
    assert any("nyc_slice.yaml:" in f.said and "tolerence" in f.said for f in broken)
    assert rest == Finding("contracts", "fine", "4 of 6 can be used")


def test_a_contract_with_an_unknown_time_zone_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_contract(tmp_path, schedule={"cron": "0 3 * * *", "timezone": "Mars/Base"})
    monkeypatch.chdir(tmp_path)
    found = only(checks.clock)
    assert found.state == "note"
    assert found.said.endswith("no such time zone: Mars/Base")


def test_missing_time_zone_data_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(checks.clock).state == "fine"
    monkeypatch.syspath_prepend(damage(tmp_path, "tzdata"))
    for name in [n for n in sys.modules if n.split(".")[0] == "tzdata"]:
        monkeypatch.delitem(sys.modules, name)
    zoneinfo.reset_tzpath(())
    try:
        found = only(checks.clock)
    finally:
        zoneinfo.reset_tzpath()
        sys.modules.pop("tzdata", None)
    assert found.state == "wrong"
    assert found.mend == "pip install tzdata"


# Storage root and disk.


def test_a_root_that_is_new_is_tried_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "deep" / "root"))
    assert only(reach.root).state == "fine"
    assert not (tmp_path / "deep").exists()


def test_a_root_that_is_in_use_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root" / "runs").mkdir(parents=True)
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path / "root"))
    assert only(reach.root).state == "fine"
    assert [f.name for f in (tmp_path / "root").iterdir()] == ["runs"]


def test_a_file_in_the_place_of_the_root_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("mine", "utf-8")
    monkeypatch.setenv("POLYCAST_HOME", str(file / "root"))
    found = only(reach.root)
    assert found.state == "wrong"
    assert f"{file} is a file, not a folder" in found.said
    others = (reach.disk, reach.registry, reach.server, reach.ports)
    assert not [f for check in others for f in examined("it", check) if f.state == "wrong"]
    assert file.read_text("utf-8") == "mine"


def test_a_root_of_an_unknown_kind_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYCAST_HOME", "nowhere://x")
    found = only(reach.root)
    assert found.state == "wrong"
    assert "Protocol not known: nowhere" in found.said


def test_a_bucket_is_tried_and_left_empty_and_a_lost_bucket_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    storage = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    storage.mkdir("doctors")
    monkeypatch.setenv("POLYCAST_HOME", "s3://doctors/root")
    assert only(reach.root).state == "fine"
    assert storage.find("doctors") == []
    monkeypatch.setenv("POLYCAST_HOME", "s3://lost/root")
    lost = only(reach.root)
    server.stop()
    assert lost.state == "wrong"
    assert "the bucket is there" in lost.mend


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_file_system_without_room_is_wrong_and_is_told_once() -> None:
    [found] = reach.room([Path("/proc"), Path("/proc/self")])
    assert (found.state, found.said) == ("wrong", "0.0 GiB free at /proc")
    assert "TMPDIR" in found.mend


# Registry.


@pytest.mark.parametrize("address", ["", "sqlite:///{}/state/mlflow.db", "file://{}/state/mlruns"])
def test_a_registry_that_is_not_there_yet_is_fine_and_is_not_made(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(tmp_path))
    found = only(reach.registry)
    assert found.state == "fine"
    assert found.said.endswith("made by the first run")
    assert not list((tmp_path / "state").iterdir())


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a registry on SQLite that holds one model; return its address."""
    address = f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"
    program = "from tasks.registry import client; client().create_registered_model('plant')"
    in_own_process(program, MLFLOW_TRACKING_URI=address, MLFLOW_REGISTRY_URI=address)
    return address


def test_a_registry_on_sqlite_answers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    assert only(reach.registry) == Finding("registry", "fine", f"{database}: answers")


def test_a_lost_registry_beside_a_good_tracking_database_is_wrong(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", NOWHERE)
    found = only(reach.registry)
    assert found.state == "wrong"
    assert "Connection refused" in found.said


def test_a_database_that_is_none_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all" * 1000, "utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    found = only(reach.registry)
    assert found.state == "wrong"
    assert "file is not a database" in found.said


def test_a_database_that_cannot_be_made_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    found = only(reach.registry)
    assert found.state == "wrong"
    assert f"{tmp_path}/file is no folder" in found.said


def test_a_postgresql_that_does_not_answer_is_told_at_once_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://me:hunter2@127.0.0.1:9/mlflow")
    found = only(reach.registry)
    assert found.state == "wrong"
    assert found.said.startswith("postgresql+psycopg://127.0.0.1:9/mlflow: ")
    assert "Connection refused" in found.said


def test_a_tracking_server_that_refuses_asks_for_the_password(
    refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing)
    found = only(reach.registry)
    assert found.state == "wrong"
    assert "MLFLOW_TRACKING_PASSWORD" in found.mend


@pytest.fixture
def refusing() -> Iterator[str]:
    """Serve 401 to every request on loopback; return the address."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# The Prefect server, its pools, and ports.


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Prefect server that asks for a password; return its API's address."""
    from flows.guard import guarded
    from flows.server import SERVER, free_port, wait_for

    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    command = [*SERVER, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    settings = {
        "PREFECT_HOME": str(home),
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
    }
    log = home / "server.log"
    with guarded(command, log, surroundings(settings)) as process:
        wait_for(process, f"http://127.0.0.1:{port}/api/health", log)
        yield f"http://127.0.0.1:{port}/api"


@pytest.fixture
def named(prefect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name the server in the settings, without its password; return its address."""
    monkeypatch.setenv("PREFECT_API_URL", prefect)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    return prefect


def test_a_server_that_asks_for_a_password_says_which_setting_has_it(named: str) -> None:
    found = only(reach.server)
    assert found.state == "wrong"
    assert "401" in found.said
    assert "PREFECT_API_AUTH_STRING" in found.mend


MAKE_POOLS = """
from prefect.client.orchestration import get_client
from flows.deploying import make_pool
with get_client(sync_client=True) as client:
    for pool in ("cpu", "gpu"):
        make_pool(client, pool)
    client.send_worker_heartbeat("cpu", "a worker", 30)
"""


def test_pools_without_a_worker_are_notes_and_a_pool_with_one_is_fine(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
    server, *pools = examined("server", reach.server)
    assert server.state == "fine", server
    cpu, gpu = pools
    assert server.said.startswith(f"{named}: answers, version ")
    assert [cpu.state, gpu.state] == ["note", "note"]
    assert cpu.mend == gpu.mend == "polycast deploy"
    in_own_process(MAKE_POOLS)
    _, cpu, gpu = examined("server", reach.server)
    assert (cpu.state, cpu.said) == ("fine", "cpu: 1 online")
    assert gpu.state == "note"
    assert gpu.mend.startswith("prefect worker start --pool gpu")


def test_a_server_of_polycast_up_is_looked_at_too(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
    (tmp_path / "state").mkdir()
    addresses = {"prefect": named.removesuffix("/api"), "mlflow": NOWHERE}
    (tmp_path / "state" / "servers.json").write_text(json.dumps(addresses), "utf-8")
    assert examined("server", reach.server)[0].state == "fine"
    assert only(reach.ports).said == "`polycast up` runs here"


def test_a_server_of_another_version_is_a_note() -> None:
    found = {"address": "http://host/api", "client": "3.8.8", "server": "3.6.0"}
    assert reach._versions(found).state == "note"
    assert "version 3.6.0, where this client is 3.8.8" in reach._versions(found).said
    assert reach._versions(found | {"server": "3.8.8"}).state == "fine"


def test_a_port_that_is_taken_is_a_note_with_the_option_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows import up

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(up, "MLFLOW_PORT", port)
        found = [f for f in examined("ports", reach.ports) if str(port) in f.said]
    assert [f.state for f in found] == ["note"]
    assert found[0].mend == "polycast up --mlflow-port PORT"


# What is imported: the server's application, the framework, the GPU.


def test_a_server_that_cannot_start_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(damage(tmp_path, "fastapi"))
    found = only(checks.application)
    assert found.state == "wrong"
    assert "fastapi" in found.said
    assert "constraints.txt" in found.mend


def test_a_framework_that_crashes_its_process_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
    monkeypatch.syspath_prepend(damage(tmp_path, "tensorflow", crash))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    found = only(checks.framework)
    assert found.state == "wrong"
    assert "the process was ended by SIGILL" in found.said


def test_a_backend_that_there_is_not_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    found = only(checks.framework)
    assert found.state == "wrong"
    assert "expected tensorflow or jax, came torch" in found.said
    assert found.mend == "set KERAS_BACKEND to tensorflow or jax"


def test_a_backend_that_is_not_installed_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(damage(tmp_path, "jax"))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    found = only(checks.framework)
    assert found.state == "wrong"
    assert "jax does not compute: " in found.said


def test_jax_computes_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras, gpu = examined("Keras", checks.framework)
    assert keras.state == "fine"
    assert keras.said.endswith("on jax")
    assert gpu.state in ("fine", "note")


@pytest.mark.parametrize(("backend", "part"), [("tensorflow", "and-cuda"), ("jax", "cuda12")])
def test_a_gpu_that_the_framework_does_not_see_is_a_note_with_a_mend(
    backend: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho NVIDIA T4\n", "utf-8")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = checks._gpu(backend, "cpu")
    assert found.state == "note"
    assert "NVIDIA T4 is here, but" in found.said
    assert part in found.mend
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "unset CUDA_VISIBLE_DEVICES" in checks._gpu(backend, "cpu").mend
    assert checks._gpu(backend, "NVIDIA T4").state == "fine"
