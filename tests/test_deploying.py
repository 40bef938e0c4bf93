"""Deployments, automations and notifications, on a real Prefect server."""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from flows.deploying import definitions, watched
from flows.guard import guarded
from flows.server import free_port, wait_for
from tests.walk import DATASET, polycast, surroundings, write_contract

NIGHTLY = {"cron": "30 2 * * *", "timezone": "America/New_York"}


@dataclass
class Team:
    """A folder with contracts, the address of its Prefect server, and who is told."""

    folder: Path
    address: str
    told: list[dict[str, Any]] = field(default_factory=list)

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the server by plain HTTP, as any other tool would."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def polycast(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return polycast(self.folder, *words, PREFECT_API_URL=self.address)

    def wait_to_be_told(self, subject: str) -> str:
        """Return the text of the message whose subject begins so, when it is there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for message in self.told:
                if message["subject"].startswith(subject):
                    return str(message["body"])
            time.sleep(0.2)
        raise AssertionError(f"nobody was told {subject!r}, but {self.told}")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    write_contract(folder, schedule=NIGHTLY, tags=["weather", "hourly"])
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    environment = surroundings({"PREFECT_HOME": str(folder / "prefect")})
    server = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with guarded(server, folder / "server.log", environment) as process:
        wait_for(process, f"{address}/health", folder / "server.log")
        with receiver() as (where, told):
            found = Team(folder, address, told)
            _make_channel(found, where)
            result = found.polycast("deploy")
            assert result.returncode == 0, result.stderr
            assert f"retrain/{DATASET}   30 2 * * * America/New_York" in result.stdout
            yield found


def receiver() -> Any:
    """Return a context with a local web server's address and the messages that it was sent."""
    from contextlib import contextmanager

    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing on standard error."""

    @contextmanager
    def running() -> Iterator[tuple[str, list[dict[str, Any]]]]:
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}/", told
            server.shutdown()
            thread.join()

    return running()


def _make_channel(team: Team, where: str) -> None:
    """Make a notification block as a user would by script, in a process of its own."""
    program = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block\n"
        f"Block(name='local', url={where!r}, "
        "json_data={'subject': '{{subject}}', 'body': '{{body}}'}).save('polycast-local')\n"
    )
    environment = surroundings({"PREFECT_API_URL": team.address})
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)


def test_every_contract_has_a_deployment_and_training_has_one() -> None:
    found, unusable = definitions()
    assert not unusable
    names = {(d["entrypoint"], d["name"]): d for d in found}
    weather = names["flows.retrain.retrain", "nyc_weather"]
    assert weather["parameters"] == {"dataset": "nyc_weather"}
    assert weather["schedules"] == [NIGHTLY]
    predict = names["flows.predict.predict", "nyc_weather"]
    assert predict["parameters"] == {"dataset": "nyc_weather"}
    assert predict["schedules"] == []
    tune = names["flows.tuning.tune", "nyc_weather"]
    assert (tune["parameters"], tune["schedules"]) == ({"dataset": "nyc_weather"}, [])
    assert names["flows.train.train", "gpu"]["work_pool"] == {"name": "gpu"}


def test_a_contract_that_is_watched_says_when_and_whether_a_retrain_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monitor = "flows.monitor.monitor", DATASET

    def schedules() -> Any:
        [own] = [d for d in definitions()[0] if (d["entrypoint"], d["name"]) == monitor]
        return own["schedules"]

    write_contract(tmp_path, monitoring=NIGHTLY)
    assert schedules() == [NIGHTLY]
    assert watched() == [DATASET]
    write_contract(tmp_path, monitoring={"retrain": False})
    assert schedules() == []
    assert watched() == []


@pytest.mark.parametrize(("overlap", "strategy"), [("skip", "CANCEL_NEW"), ("wait", "ENQUEUE")])
def test_the_contract_says_what_becomes_of_a_second_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: str, strategy: str
) -> None:
    write_contract(tmp_path, schedule=NIGHTLY | {"overlap": overlap})
    monkeypatch.chdir(tmp_path)
    retrain = "flows.retrain.retrain", DATASET
    [own] = [d for d in definitions()[0] if (d["entrypoint"], d["name"]) == retrain]
    assert own["concurrency_limit"] == {"limit": 1, "collision_strategy": strategy}


def test_a_contract_that_cannot_be_used_is_told_and_the_others_are_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_contract(tmp_path)
    (tmp_path / "data_contracts" / "broken.yaml").write_text("dataset: broken\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    found, unusable = definitions()
    assert list(unusable) == ["broken"]
    assert DATASET in [d["name"] for d in found]


def test_without_a_server_deploy_says_how_to_start_one(tmp_path: Path) -> None:
    result = polycast(tmp_path, "deploy")
    assert result.returncode == 1
    assert "start `polycast up` in this folder, or set PREFECT_API_URL" in result.stderr


def test_the_server_knows_schedule_tags_limit_and_the_forms_help(team: Team) -> None:
    found = team.api(f"deployments/name/retrain/{DATASET}")
    assert [s["schedule"]["cron"] for s in found["schedules"]] == [NIGHTLY["cron"]]
    assert [s["schedule"]["timezone"] for s in found["schedules"]] == [NIGHTLY["timezone"]]
    assert found["tags"] == ["polycast", DATASET, "weather", "hourly"]
    assert found["global_concurrency_limit"]["limit"] == 1
    fields = found["parameter_openapi_schema"]["properties"]
    assert list(fields) == ["dataset", "overrides", "as_of", "from_stage", "rebaseline"]
    assert all(field["description"] for field in fields.values())


def test_the_server_plans_the_nights_to_come(team: Team) -> None:
    deployment = team.api(f"deployments/name/retrain/{DATASET}")["id"]
    asked = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
    deadline = time.monotonic() + 60
    while not (planned := team.api("flow_runs/filter", asked)):
        assert time.monotonic() < deadline, (team.folder / "server.log").read_text("utf-8")
        time.sleep(0.5)
    assert {run["state_type"] for run in planned} == {"SCHEDULED"}
    zone = ZoneInfo(NIGHTLY["timezone"])
    begins = [datetime.fromisoformat(run["expected_start_time"]) for run in planned]
    assert {f"{begin.astimezone(zone):%H:%M}" for begin in begins} == {"02:30"}
    assert len(begins) == len(set(begins)) > 1


def test_deploying_again_keeps_a_schedule_that_somebody_paused(team: Team) -> None:
    found = team.api(f"deployments/name/retrain/{DATASET}")
    path = f"deployments/{found['id']}/schedules/{found['schedules'][0]['id']}"
    request = urllib.request.Request(
        f"{team.address}/{path}",
        b'{"active": false}',
        {"Content-Type": "application/json"},
        method="PATCH",
    )
    urllib.request.urlopen(request, timeout=30).close()
    assert team.polycast("deploy").returncode == 0
    again = team.api(f"deployments/name/retrain/{DATASET}")
    assert [s["active"] for s in again["schedules"]] == [False]


def test_deploying_again_adds_no_automation(team: Team) -> None:
    before = [a["name"] for a in team.api("automations/filter", {})]
    assert team.polycast("deploy").returncode == 0
    after = [a["name"] for a in team.api("automations/filter", {})]
    assert sorted(before) == sorted(after)
    assert len(set(after)) == len(after)


def test_a_dataset_that_is_watched_has_an_automation_until_it_is_not(team: Team) -> None:
    def retrained() -> list[str]:
        found = team.api("automations/filter", {})
        return [a["name"] for a in found if a["name"].endswith(f": {DATASET}")]

    assert retrained() == []
    usual = {"schedule": NIGHTLY, "tags": ["weather", "hourly"]}
    try:
        write_contract(team.folder, **usual, monitoring={"window": "7d"})
        assert team.polycast("deploy").returncode == 0
        assert retrained() == [f"polycast: retrain when drifted or decayed: {DATASET}"]
    finally:
        write_contract(team.folder, **usual)
        assert team.polycast("deploy").returncode == 0
    assert retrained() == []


def test_what_is_printed_is_what_prefect_itself_deploys(team: Team, tmp_path: Path) -> None:
    printed = team.polycast("deploy", "--print").stdout
    assert {d["name"] for d in yaml.safe_load(printed)["deployments"]} >= {DATASET, "gpu"}
    file = tmp_path / "prefect.yaml"
    file.write_text(printed, "utf-8")
    words = ["--no-prompt", "deploy", "--prefect-file", str(file), "--name", DATASET]
    result = subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        cwd=team.folder,
        env=surroundings({"PREFECT_API_URL": team.address}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = team.api(f"deployments/name/retrain/{DATASET}")
    assert found["entrypoint"] == "flows.retrain.retrain"
    assert [s["schedule"]["cron"] for s in found["schedules"]] == [NIGHTLY["cron"]]


def test_a_candidate_that_waits_for_a_person_is_told(team: Team) -> None:
    result = team.polycast("retrain", DATASET, "--set", "gate.approval=manual")
    assert result.returncode == 5, result.stdout + result.stderr
    assert "decide by `polycast approve " in team.wait_to_be_told(f"Waiting: {DATASET}-20")


def test_a_run_that_asks_a_person_is_told_with_what_to_type(team: Team) -> None:
    deployment = team.api(f"deployments/name/retrain/{DATASET}")
    run = team.api(f"deployments/{deployment['id']}/create_flow_run", {"name": "asking"})
    suspended = {"type": "PAUSED", "name": "Suspended"}
    team.api(f"flow_runs/{run['id']}/set_state", {"state": suspended, "force": True})
    assert f"polycast approve {run['id']}" in team.wait_to_be_told("Waiting: asking")


def test_publishing_is_told(team: Team) -> None:
    result = team.polycast("retrain", DATASET)
    assert result.returncode == 0, result.stdout + result.stderr
    body = team.wait_to_be_told(f"Published: {DATASET}-20")
    assert f"{DATASET} version 1, alias champion" in body


def test_a_block_by_the_gate_is_told_with_its_reasons(team: Team) -> None:
    rule = 'gate.rules=[{"rule": "absolute", "metric": "rmse", "at_most": 0.001}]'
    result = team.polycast("retrain", DATASET, "--set", rule)
    assert result.returncode == 3, result.stdout + result.stderr
    assert "temp_ahead: " in team.wait_to_be_told(f"Blocked: {DATASET}-20")


def test_a_breach_is_told_with_what_was_broken(team: Team) -> None:
    rule = 'expectations.table=[{"check": "row_count", "min": 1000000}]'
    result = team.polycast("retrain", DATASET, "--set", rule)
    assert result.returncode == 4, result.stdout + result.stderr
    assert "the data breaks an expectation" in team.wait_to_be_told(f"Breach: {DATASET}-20")


def test_a_crash_is_told_and_the_run_is_scheduled_again(team: Team) -> None:
    deployment = team.api(f"deployments/name/retrain/{DATASET}")
    run = team.api(f"deployments/{deployment['id']}/create_flow_run", {"name": "killed"})
    crash = {"type": "CRASHED", "message": "the machine is gone"}
    team.api(f"flow_runs/{run['id']}/set_state", {"state": crash, "force": True})
    assert "the machine is gone" in team.wait_to_be_told("Crashed: killed")
    deadline = time.monotonic() + 30
    while (state := team.api(f"flow_runs/{run['id']}")["state"])["type"] != "SCHEDULED":
        assert time.monotonic() < deadline, state
        time.sleep(0.2)
    assert state["name"] == "AwaitingRetry"


def test_a_remote_retrain_that_is_not_deployed_says_so(team: Team) -> None:
    result = team.polycast("retrain", "nowhere", "--remote")
    assert result.returncode == 1
    assert "retrain/nowhere is not deployed on the server: run `polycast deploy`" in result.stderr
