"""The compose file: read by Docker's own `docker-compose`, its settings and commands held against
the programs that they are for, and its servers started as it says, on loopback."""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest

from flows.automations import HEARTBEAT

ROOT = Path(__file__).parents[1]
FILE = ROOT / "deployments" / "compose.yaml"
EXAMPLE = ROOT / "deployments" / "compose.env.example"
SCRIPTS = Path(sysconfig.get_path("scripts"))
OURS = {"prefect", "mlflow", "deploy", "worker", "worker-gpu"}
SECRETS = {
    "POSTGRES_PASSWORD": {"postgres", "prefect", "mlflow"},
    "S3_SECRET_KEY": {"storage", "mlflow", "deploy", "worker", "worker-gpu"},
    "S3_ACCESS_KEY": {"storage", "mlflow", "deploy", "worker", "worker-gpu"},
    "PREFECT_AUTH": {"prefect", "deploy", "worker", "worker-gpu"},
}
"""What is secret, and the services that may know it."""

Services = dict[str, dict[str, Any]]


def compose(settings: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run Docker's compose on the file, with nothing of this environment but the path."""
    command = [SCRIPTS / "docker-compose", "--env-file", settings, "--file", FILE]
    return subprocess.run(
        [*command, "--profile", "gpu", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(settings.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def filled(folder: Path) -> Path:
    """Write the example's settings with a planted value for each that is empty."""
    file = folder / "settings.env"
    text = EXAMPLE.read_text("utf-8")
    file.write_text(re.sub(r"^(\w+)=$", r"\1=planted:\1", text, flags=re.M), "utf-8")
    return file


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    result = compose(filled(tmp_path_factory.mktemp("compose")), "config", "--format", "json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    found: Services = json.loads(result.stdout)["services"]
    return found


def test_it_has_all_that_a_team_needs(services: Services) -> None:
    assert set(services) == OURS | {"postgres", "storage"}


def test_without_its_secrets_it_refuses_to_start_and_says_where_they_go(tmp_path: Path) -> None:
    result = compose(EXAMPLE, "config")
    assert result.returncode != 0
    assert "set it in deployments/.env" in result.stderr


def test_every_setting_that_it_reads_is_in_the_example() -> None:
    read = dict(re.findall(r"\$\{(\w+)(:[-?])", FILE.read_text("utf-8")))
    example = EXAMPLE.read_text("utf-8")
    needed = set(re.findall(r"^(\w+)=$", example, re.M))
    optional = set(re.findall(r"^#(\w+)=\S", example, re.M))
    assert needed == {name for name, kind in read.items() if kind == ":?"} == set(SECRETS)
    assert optional == {name for name, kind in read.items() if kind == ":-"}


def test_what_the_example_says_of_optional_settings_is_so() -> None:
    text = FILE.read_text("utf-8")
    for name, value in re.findall(r"^#(\w+)=(\S+)$", EXAMPLE.read_text("utf-8"), re.M):
        assert f"${{{name}:-{value}}}" in text


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_goes_to_the_services_that_need_it_and_only_as_a_variable(
    services: Services, secret: str
) -> None:
    planted = f"planted:{secret}"
    knowing = {name for name, s in services.items() if planted in s["environment"].values()}
    assert knowing == SECRETS[secret]
    for service in services.values():
        rest = {key: value for key, value in service.items() if key != "environment"}
        assert planted not in json.dumps(rest)


def test_every_published_port_is_on_loopback(services: Services) -> None:
    published = {
        (name, port["host_ip"], port["published"])
        for name, service in services.items()
        for port in service.get("ports", [])
    }
    assert published == {("prefect", "127.0.0.1", "4200"), ("mlflow", "127.0.0.1", "5000")}
    assert not any(s.get("network_mode") or s.get("privileged") for s in services.values())


def test_no_service_runs_as_root_or_keeps_rights_that_it_needs_not(services: Services) -> None:
    dockerfile = (ROOT / "deployments" / "images" / "Dockerfile").read_text("utf-8")
    assert "\nUSER 10001:10001\n" in dockerfile
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("user") == ("999:999" if name == "postgres" else None), name
    # The storage's entry point takes its volume over, then becomes a user of its own.
    added = {name: s["cap_add"] for name, s in services.items() if "cap_add" in s}
    assert added == {"storage": ["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"]}


def test_every_service_that_stays_has_a_health_check(services: Services) -> None:
    for name, service in services.items():
        stays = service["restart"] != "no"
        assert stays == (name != "deploy")
        assert bool(service.get("healthcheck", {}).get("test")) == stays, name


def test_workers_wait_for_the_registration_and_that_for_the_servers(services: Services) -> None:
    def awaited(name: str) -> dict[str, str]:
        return {k: v["condition"] for k, v in services[name]["depends_on"].items()}

    for worker in ("worker", "worker-gpu"):
        assert awaited(worker) == {"deploy": "service_completed_successfully"}
    assert awaited("deploy") == {"prefect": "service_healthy", "mlflow": "service_healthy"}


def test_only_the_gpu_worker_takes_a_gpu_and_only_when_asked_for(services: Services) -> None:
    asked = {n: s["deploy"] for n, s in services.items() if s.get("deploy", {}).get("resources")}
    [device] = asked.pop("worker-gpu")["resources"]["reservations"]["devices"]
    assert not asked
    assert device == {"capabilities": ["gpu"], "driver": "nvidia", "count": 1}
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert "--limit=1" in services["worker-gpu"]["command"]


def test_images_are_pinned_and_ours_are_the_ones_that_are_built(services: Services) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for name, service in services.items():
        image, tag = service["image"].rsplit(":", 1)
        if name in OURS:
            target = "cuda" if name == "worker-gpu" else "cpu"
            assert (image, tag) == ("polycast", f"{project['version']}-{target}")
        else:
            assert re.match(r"\d+\.\d+", tag), service["image"]
    built = {n: s["build"]["target"] for n, s in services.items() if "build" in s}
    assert built == {"prefect": "cpu", "worker-gpu": "cuda"}
    for name in built:
        build = services[name]["build"]
        assert (Path(build["context"]) / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_of_prefect_is_one_and_takes_effect(
    services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import Settings

    given = {k: v for k, v in services[name]["environment"].items() if k.startswith("PREFECT_")}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    taken = Settings().to_environment_variables(exclude_unset=True)
    for key, value in given.items():
        assert taken[key].lower() == value.lower(), key


def test_runs_beat_as_often_as_the_automations_expect(services: Services) -> None:
    for worker in ("worker", "worker-gpu"):
        beat = services[worker]["environment"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
        assert beat == str(HEARTBEAT)


MLFLOW = """
import json, sys
import mlflow.environment_variables
from mlflow.cli import server
known = [str(option.envvar) for option in server.params if getattr(option, "envvar", None)]
known += [name for name in dir(mlflow.environment_variables) if name.startswith("MLFLOW_")]
options = server.make_context("server", sys.argv[1:]).params
print(json.dumps([known, options["artifacts_destination"], options["allowed_hosts"]]))
"""


def test_the_mlflow_server_takes_its_settings_and_its_command(services: Services) -> None:
    words = services["mlflow"]["command"]
    assert words[:2] == ["mlflow", "server"]
    # In a process of its own: MLflow's server does not load where warnings are errors.
    result = subprocess.run(
        [sys.executable, "-c", MLFLOW, *words[2:]], capture_output=True, text=True, check=True
    )
    known, destination, hosts = json.loads(result.stdout)
    given = {k for s in services.values() for k in s["environment"] if k.startswith("MLFLOW_")}
    assert len(given) >= 4
    assert given <= set(known)
    assert destination == "s3://polycast/mlflow"
    # Workers reach it by the service's name, browsers by the published address.
    tracking = services["worker"]["environment"]["MLFLOW_TRACKING_URI"]
    assert {tracking.removeprefix("http://"), "127.0.0.1:5000"} <= set(hosts.split(","))


@pytest.mark.parametrize("name", ["prefect", "worker", "worker-gpu", "deploy"])
def test_every_option_of_a_command_is_one(services: Services, name: str) -> None:
    words = services[name]["command"]
    plain = [w for w in words[: 2 if name == "deploy" else 3] if not w.startswith("-")]
    result = subprocess.run(
        [SCRIPTS / plain[0], *plain[1:], "--help"],
        env=os.environ | {"COLUMNS": "200", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    offered = set(re.findall(r"--[\w-]+", result.stdout))
    used = {w.split("=")[0] for w in words if w.startswith("--")}
    assert used <= offered, shlex.join(words)


def test_each_probe_asks_where_its_server_listens(services: Services) -> None:
    for name, port in (("prefect", 4200), ("mlflow", 5000), ("worker", 8080)):
        probe = services[name]["healthcheck"]["test"]
        assert probe[:3] == ["CMD", "python", "-c"]
        compile(probe[3], name, "exec")
        assert f"http://127.0.0.1:{port}/" in probe[3]
