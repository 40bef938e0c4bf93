"""`polycast up` and what its Prefect UI shows of a run, in a real browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.server import free_port
from tasks.orchestration import artifact_key
from tests.following import Following
from tests.walk import DATASET, command, polycast, surroundings, write_contract

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(
        CHROMIUM is None and "POLYCAST_ALL_PARTS" not in os.environ,
        reason="the system package chromium is not installed",
    ),
]


@dataclass(frozen=True)
class Team:
    """A folder with `polycast up` running over it and one retrain that reported there."""

    up: "subprocess.Popen[str]"
    folder: Path
    prefect: str
    mlflow: str
    output: str


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    write_contract(folder)
    ports = [str(free_port()), str(free_port())]
    words = ["up", "--prefect-port", ports[0], "--mlflow-port", ports[1], "--gpus", "1"]
    up = subprocess.Popen(
        command(*words), cwd=folder, env=surroundings({}), stdout=subprocess.PIPE, text=True
    )
    assert up.stdout is not None
    try:
        shown = []
        while not shown or not shown[-1].startswith("Ready."):
            shown.append(up.stdout.readline())
            assert shown[-1], "".join(shown)
        assert any(line.startswith(f"✔ retrain/{DATASET}") for line in shown)
        result = polycast(folder, "retrain", DATASET, "--remote")
        assert result.returncode == 0, result.stdout + result.stderr
        yield Team(up, folder, *(f"http://127.0.0.1:{p}" for p in ports), result.stdout)
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGINT)
        up.wait(60)
        up.stdout.close()


def page(address: str, folder: Path, wanted: str) -> str:
    """Return what a headless Chromium shows at an address, as text of its document.

    The page asks the server for what it shows; on a busy machine the answer can come after the
    browser's patience, so it is opened again until `wanted` is there, five times at most.
    """
    shown = ""
    for attempt in range(5):
        shown = opened(address, folder / f"chromium-{attempt}")
        if wanted in shown:
            break
    return shown


def opened(address: str, profile: Path) -> str:
    """Return the text of a page, opened once."""
    assert CHROMIUM is not None, "the system package chromium is not installed"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options += ["--window-size=1400,1200", f"--user-data-dir={profile}"]
    result = subprocess.run(
        [CHROMIUM, *options, "--virtual-time-budget=20000", "--dump-dom", address],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return re.sub(r"<[^>]+>", " ", result.stdout)


def test_the_run_page_shows_the_run_and_its_stages_on_any_port(team: Team, tmp_path: Path) -> None:
    address = re.search(r"(http\S+/runs/flow-run/\S+)", team.output)
    assert address is not None, team.output
    assert address[1].startswith(team.prefect)
    shown = page(address[1], tmp_path, "7 Task runs")
    assert f"{DATASET}-20" in shown
    assert "Published" in shown
    assert "7 Task runs" in shown


def test_the_artifacts_page_shows_every_stages_artifact(team: Team, tmp_path: Path) -> None:
    shown = page(f"{team.prefect}/artifacts", tmp_path, artifact_key(DATASET, "report"))
    told = ("snapshot", "validation", "splits", "training", "metrics", "verdict", "publication")
    for name in (*told, "model-card", "drift", "report"):
        assert artifact_key(DATASET, name) in shown


@pytest.fixture
def browser(team: Team) -> Iterator[Any]:
    """Return a page of a browser that waits for what it is asked to find."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=120_000)
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = chromium.new_page(viewport={"width": 1400, "height": 1200})
        shown.set_default_timeout(120_000)
        yield shown
        chromium.close()


def submitted(browser: Any) -> str:
    """Submit the form and return the run's id; again, as a person would, while the server is too
    busy: its database of one file lets one at a time write."""
    for _ in range(5):
        with browser.expect_response("**/create_flow_run") as sent:
            browser.get_by_role("button", name="Submit").click()
        if sent.value.ok:
            run: str = sent.value.json()["id"]
            return run
        assert sent.value.status >= 500, sent.value.text()
    raise AssertionError(sent.value.text())


def run_from_the_form(team: Team, browser: Any, override: str) -> None:
    """Start a run with an override by the deployment's form, and open its page."""
    query = f"{team.prefect}/api/deployments/name/retrain/{DATASET}"
    with urllib.request.urlopen(query, timeout=30) as answer:
        deployment = json.load(answer)["id"]
    browser.goto(f"{team.prefect}/deployments/deployment/{deployment}/run")
    browser.get_by_role("button", name="Add item").click()
    browser.locator("textarea").nth(1).fill(override)
    browser.goto(f"{team.prefect}/runs/flow-run/{submitted(browser)}")


def test_a_run_started_from_the_form_ends_with_its_verdict(team: Team, browser: Any) -> None:
    from playwright.sync_api import expect

    rule = 'gate.rules=[{"rule": "absolute", "metric": "rmse", "at_most": 0.001}]'
    run_from_the_form(team, browser, rule)
    expect(browser.get_by_text("Blocked", exact=True).first).to_be_visible()
    browser.get_by_text("Artifacts", exact=True).first.click()
    browser.get_by_text(artifact_key(DATASET, "verdict")).last.click()
    expect(browser.get_by_text("nyc_slice: fail").first).to_be_visible()


def test_a_run_that_fails_says_first_what_to_do(team: Team, browser: Any) -> None:
    from playwright.sync_api import expect

    run_from_the_form(team, browser, "recipe.epochs=0")
    expect(browser.get_by_text("Refused", exact=True).first).to_be_visible()
    expect(browser.get_by_text("expected a number of 1 or more").first).to_be_visible()


@pytest.mark.slow
def test_a_candidate_that_waits_is_published_by_its_form(team: Team, browser: Any) -> None:
    from playwright.sync_api import expect

    runs = Following(f"{team.prefect}/api")
    wish = [
        "gate.approval=manual",
        "gate.rules=[{rule: baseline, baseline: mean}]",
        "recipe.seed=4",
    ]
    run = runs.start(f"retrain/{DATASET}", dataset=DATASET, overrides=wish)
    runs.until(lambda: runs.run(run)["state_name"] == "Suspended", "it waits", within=300)
    browser.goto(f"{team.prefect}/runs/flow-run/{run}")
    browser.get_by_role("button", name="Resume").first.click()
    form = browser.get_by_role("dialog")
    expect(form.get_by_text("Shall this candidate of nyc_slice be champion")).to_be_visible()
    expect(form.get_by_role("cell", name="temp_ahead, °F")).to_be_visible()
    for i, text in enumerate(("approve", "Ann Example", "looks right")):
        form.locator("textarea").nth(i).fill(text)
    form.get_by_role("button", name="Submit").click()
    expect(browser.get_by_text("Published", exact=True).first).to_be_visible()
    assert "approved by Ann Example: looks right" in runs.ended(run)["state"]["message"]


def test_the_mlflow_server_knows_the_champion(team: Team) -> None:
    query = f"api/2.0/mlflow/registered-models/alias?name={DATASET}&alias=champion"
    with urllib.request.urlopen(f"{team.mlflow}/{query}", timeout=30) as answer:
        assert b'"version": "1"' in answer.read()


def test_a_taken_port_is_told_in_one_sentence(team: Team) -> None:
    port = team.prefect.rsplit(":", 1)[1]
    result = polycast(team.folder, "up", "--prefect-port", port)
    assert result.returncode == 1
    assert f"port {port} is taken: choose another with --prefect-port" in result.stderr


def test_ctrl_c_stops_what_was_started(team: Team) -> None:
    team.up.send_signal(signal.SIGINT)
    assert team.up.wait(60) == 0
    for address in (team.prefect, team.mlflow):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and _answers(address):
            time.sleep(0.2)
        assert not _answers(address)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=2).close()
    except OSError:
        return False
    return True
