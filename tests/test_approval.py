"""A person has the last word: on a candidate that waits in a folder, and on a run that Prefect has
suspended, which goes on with the candidate that was shown."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.guard import guarded
from tests.following import Following
from tests.processes import all_gone
from tests.walk import DATASET, polycast, prefect_server, surroundings, write_contract

RULES: list[dict[str, Any]] = [{"rule": "baseline", "baseline": "mean"}, {"rule": "champion"}]
GATE = {"rules": RULES[:1], "approval": "manual"}
RECIPE = {"base": "shared_128_64", "hidden": [16], "batch_size": 256, "epochs": 1}
FEW = {"baselines": ["mean"]}


@dataclass(frozen=True)
class Desk:
    """A folder whose contract asks a person, and the Prefect server that its runs report to."""

    folder: Path
    address: str

    def __call__(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return polycast(self.folder, *words, PREFECT_API_URL=self.address)

    @property
    def runs(self) -> Following:
        return Following(self.address)

    def write(self, **recipe: Any) -> None:
        write_contract(self.folder, gate=GATE, evaluation=FEW, recipe=RECIPE | recipe)

    def waits(self, *words: str) -> str:
        """Retrain, hold that the run waits, and return its id."""
        result = self("retrain", DATASET, *words)
        assert result.returncode == 5, result.stdout + result.stderr
        assert "Waits for approval: nothing is published until somebody decides" in result.stdout
        found = re.search(r"`polycast approve (\S+)`", result.stdout)
        assert found is not None, result.stdout
        return found[1]

    def version(self, alias: str = "champion") -> Any:
        """Return the registered version that an alias names, None where there is none."""
        import mlflow
        from mlflow.exceptions import MlflowException

        database = self.folder / ".polycast" / "registry" / "mlflow.db"
        client = mlflow.MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
        try:
            return client.get_model_version_by_alias(DATASET, alias)
        except MlflowException:
            return None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as address:
        yield address


@pytest.fixture(scope="module")
def desk(server: str, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"), server)
    desk.write()
    return desk


@pytest.fixture(scope="module")
def first(desk: Desk) -> str:
    """Return the id of the first run, which waits."""
    return desk.waits()


@pytest.fixture(scope="module")
def second(desk: Desk, first: str) -> str:
    """Return the id of a run of another candidate, which waits too."""
    return desk.waits("--set", "recipe.seed=2")


@pytest.fixture(scope="module")
def approved(desk: Desk, first: str, second: str) -> "tuple[str, subprocess.CompletedProcess[str]]":
    """Approve the first run, while the contract asks for a recipe of which nothing is trained."""
    desk.write(epochs=3)
    result = desk("approve", first, "--reason", "the new sensor: it fits")
    desk.write()
    return first, result


def test_a_waiting_run_publishes_nothing_and_says_so_again_at_once(desk: Desk, first: str) -> None:
    assert desk.version() is None
    again = desk("retrain", DATASET)
    assert again.returncode == 5, again.stdout + again.stderr
    assert f"Waits for approval since run {first}: nothing has changed" in again.stdout
    shown = desk("show", DATASET).stdout
    assert f"decide by `polycast approve {first}`" in shown


@pytest.mark.slow
def test_the_fleet_tells_of_a_dataset_that_waits(desk: Desk, first: str) -> None:
    result = desk("retrain", "--where", f"dataset={DATASET}")
    assert result.returncode == 5, result.stdout + result.stderr
    assert f"? {DATASET}  reused    Waiting" in result.stdout
    assert f"polycast approve {first}" in result.stdout


def test_approving_publishes_the_candidate_that_was_shown(
    desk: Desk, approved: "tuple[str, subprocess.CompletedProcess[str]]"
) -> None:
    run, result = approved
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Published {DATASET} version 1" in result.stdout
    assert "✔ train" not in result.stdout
    again = desk("approve", run)
    assert again.returncode == 2
    assert "a decision stays" in again.stderr
    repeated = desk("retrain", DATASET)
    assert repeated.returncode == 0
    assert "Already up to date" in repeated.stdout


def test_the_version_keeps_who_approved_it_and_the_verdict(
    desk: Desk, approved: "tuple[str, subprocess.CompletedProcess[str]]"
) -> None:
    from tasks.records import Verdict

    tags = desk.version().tags
    assert tags["polycast.approved_by"]
    assert tags["polycast.approval_reason"] == "the new sensor: it fits"
    assert tags["polycast.outcome"] == "pass"
    artifacts = desk.folder / ".polycast" / "registry" / "artifacts"
    [file] = artifacts.glob("*/models/*/artifacts/artifacts/verdict.json")
    kept = Verdict.model_validate_json(file.read_text("utf-8"))
    assert kept.hash == tags["polycast.verdict"]
    assert kept.approval is not None
    assert kept.approval.reason == "the new sensor: it fits"
    assert kept.scores.scores


def test_a_candidate_that_is_champion_already_waits_for_nobody(
    desk: Desk, approved: "tuple[str, subprocess.CompletedProcess[str]]"
) -> None:
    rule = 'gate.rules=[{"rule": "absolute", "at_most": 1000}]'
    result = desk("retrain", DATASET, "--set", rule)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Published {DATASET} version 1" in result.stdout


def test_a_decision_does_not_hold_once_the_champion_has_moved(
    desk: Desk, second: str, approved: "tuple[str, subprocess.CompletedProcess[str]]"
) -> None:
    result = desk("approve", second)
    assert result.returncode == 5, result.stdout + result.stderr
    assert "The champion has moved since: the candidate was judged again" in result.stdout
    assert str(desk.version().version) == "1"
    judged = re.search(r"`polycast reject (\S+) ", result.stdout)
    assert judged is not None
    assert judged[1] != second
    rejected = desk("reject", DATASET, "--reason", "one station is off")
    assert rejected.returncode == 0, rejected.stdout + rejected.stderr
    assert "Rejected: nothing was published; the champion stays" in rejected.stdout
    assert str(desk.version().version) == "1"
    still = desk("retrain", DATASET, "--set", "recipe.seed=2")
    assert still.returncode == 3, still.stdout + still.stderr
    assert "one station is off" in still.stdout


@pytest.mark.slow
def test_a_new_start_is_kept_with_its_reason_and_then_stands(
    desk: Desk, second: str, approved: "tuple[str, subprocess.CompletedProcess[str]]"
) -> None:
    changes = ("--set", f"gate.rules={RULES}", "--set", "gate.approval=automatic")
    changes += ("--set", "recipe.seed=2")
    started = desk("retrain", DATASET, *changes, "--rebaseline", "sensors: all new")
    assert started.returncode == 0, started.stdout + started.stderr
    version = desk.version()
    assert str(version.version) == "2"
    assert version.tags["polycast.rebaseline"] == "sensors: all new"
    after = desk("retrain", DATASET, *changes)
    assert after.returncode == 0, after.stdout + after.stderr
    assert desk.version().version == version.version


# On the team's server


@dataclass(frozen=True)
class Worker:
    """A desk whose deployment a worker runs."""

    desk: Desk

    def suspended(self, *overrides: str) -> str:
        """Start a retrain on the worker, and return its id once it waits and costs nothing."""
        runs = self.desk.runs
        run = runs.start(f"retrain/{DATASET}", dataset=DATASET, overrides=list(overrides))

        def over() -> bool:
            return str(runs.run(run)["state_type"]) in ("PAUSED", "COMPLETED", "FAILED", "CRASHED")

        runs.until(over, "the retrain waits", within=300)
        assert runs.run(run)["state_name"] == "Suspended", runs.run(run)["state"]
        assert all_gone(run, within=60), "a process waits too"
        return run


@pytest.fixture(scope="module")
def worker(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("team")
    desk = Desk(folder, server)
    desk.write()
    assert desk("deploy").returncode == 0
    words = ["prefect", "worker", "start", "--pool", "cpu"]
    settings = {"PREFECT_API_URL": server, "POLYCAST_HOME": str(folder / ".polycast")}
    settings |= {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    with chdir(folder), guarded(words, folder / "worker.log", surroundings(settings)):
        desk.runs.wait_for_workers("cpu")
        yield Worker(desk)


@pytest.mark.slow
def test_a_suspended_run_goes_on_with_its_candidate_when_its_form_is_answered(
    worker: Worker,
) -> None:
    desk, runs = worker.desk, worker.desk.runs
    rejected = worker.suspended('gate.rules=[{"rule": "absolute", "at_most": 1000}]')
    result = desk("reject", rejected, "--reason", "a rule is missing")
    assert result.returncode == 0, result.stdout + result.stderr
    assert runs.run(rejected)["state_name"] == "Rejected"

    run = worker.suspended()
    second = runs.start(f"retrain/{DATASET}", dataset=DATASET)
    assert runs.ended(second)["state_name"] == "Waiting"
    followed = desk("retrain", DATASET, "--remote")
    assert followed.returncode == 5, followed.stdout + followed.stderr
    crash = {"type": "CRASHED", "message": "taken for dead by mistake"}
    runs.ask(f"/flow_runs/{run}/set_state", {"state": crash, "force": True})

    def asks_again() -> bool:
        found = runs.run(run)
        return bool((found["state_name"], found["run_count"]) == ("Suspended", 2))

    runs.until(asks_again, "the run that was taken for dead asks again")
    desk.write(epochs=3)  # what is trained now would be another candidate
    refused = runs.ask(f"/flow_runs/{run}/resume", {"run_input": {"decision": "approve"}})
    assert refused["status"] == "REJECT"
    answer = {"decision": "approve", "name": "Ann Example", "reason": "looks right"}
    taken = runs.ask(f"/flow_runs/{run}/resume", {"run_input": answer})
    assert taken["status"] == "ACCEPT", taken
    ended = runs.ended(run)
    assert ended["state_name"] == "Published", ended["state"]
    assert "approved by Ann Example: looks right" in ended["state"]["message"]
    assert desk.version().tags["polycast.approved_by"] == "Ann Example"
    assert all_gone(run, within=60)
