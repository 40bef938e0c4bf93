"""What dies while a retrain runs, and what must hold afterwards: nothing is lost or half-written,
the run ends well by itself or the next one does, and no process or slot is left over."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.server import HOST, free_port
from tasks.storage import MANIFEST, Storage
from tests.following import Following
from tests.processes import all_gone, guarded_by, kill, of_run
from tests.walk import DATASET, command, polycast, surroundings, write_contract

GATE = {"rules": [{"rule": "baseline", "baseline": "mean"}]}
"""A gate that every retrain here passes, with whatever seed."""


@dataclass(frozen=True)
class Team:
    """A folder with `polycast up` running over it: a worker for retrains, one for training."""

    up: "subprocess.Popen[str]"
    folder: Path
    prefect: str

    @property
    def runs(self) -> Following:
        return Following(f"{self.prefect}/api")

    def start(self, **parameters: Any) -> str:
        """Start a retrain on the workers; return its id."""
        return self.runs.start(f"retrain/{DATASET}", dataset=DATASET, **parameters)

    def part(self, *wanted: str) -> int:
        """Return the process of a server or worker by words of its command line."""
        return guarded_by(self.up.pid, *wanted)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    schedule = {"cron": "30 2 1 1 *", "timezone": "UTC", "overlap": "skip"}
    write_contract(folder, gate=GATE, schedule=schedule)
    ports = [str(free_port()), str(free_port())]
    options = ["--prefect-port", ports[0], "--mlflow-port", ports[1], "--gpus", "1"]
    with (folder / "up.log").open("w", encoding="utf-8") as log:
        up = subprocess.Popen(
            command("up", *options), cwd=folder, env=surroundings({}), stdout=log, stderr=log
        )
    try:
        found = Team(up, folder, f"http://{HOST}:{ports[0]}")
        found.runs.wait_for_workers("cpu", "gpu")
        yield found
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, (folder / "up.log").read_text("utf-8")


def holds(folder: Path, *runs: str) -> None:
    """Hold what must be so after a fault, when the runs that it struck have ended."""
    assert all_gone(*runs)
    whole(folder / ".polycast")
    again = polycast(folder, "retrain", DATASET)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"Already up to date: {DATASET} version" in again.stdout


def whole(root: Path) -> None:
    """Hold that every place with a manifest is as its manifest says, and alone in its folder."""
    storage = Storage(str(root))
    for manifest in root.rglob(MANIFEST):
        place = manifest.parent.relative_to(root)
        folder = storage.fetch(str(place))
        assert sorted(manifest.parent.iterdir()) == sorted([folder, manifest])


def evaluates(team: Team, run: str) -> bool:
    return team.runs.stages(run).get("evaluate") == "RUNNING"


def test_a_retrain_whose_process_is_killed_while_it_trains_goes_on(team: Team) -> None:
    run = team.start()
    training = team.runs.trains(run)["id"]
    kill(of_run(run)[0])
    ended = team.runs.ended(run)
    assert (ended["state_name"], ended["run_count"]) == ("Published", 2), ended["state"]
    assert [t["id"] for t in team.runs.children(run)] == [training]
    holds(team.folder, run, training)


def test_a_retrain_outlives_the_prefect_server_that_is_killed(team: Team) -> None:
    run = team.start(from_stage="evaluate")
    team.runs.until(lambda: evaluates(team, run), "it evaluates")
    kill(team.part("prefect", "server"))
    ended = team.runs.ended(run)
    assert (ended["state_name"], ended["run_count"]) == ("Published", 1), ended["state"]
    holds(team.folder, run)


def test_of_two_runs_at_once_the_second_is_skipped(team: Team) -> None:
    first = team.start(from_stage="evaluate")
    team.runs.until(lambda: evaluates(team, first), "it evaluates")
    second = team.start()
    assert team.runs.ended(second)["state_type"] == "CANCELLED"
    assert team.runs.ended(first)["state_name"] == "Published"
    assert all_gone(first, second)


@pytest.mark.slow
def test_of_two_runs_at_once_the_second_waits_where_the_contract_says_so(team: Team) -> None:
    overlap = {"cron": "30 2 1 1 *", "timezone": "UTC", "overlap": "wait"}
    write_contract(team.folder, gate=GATE, schedule=overlap)
    name = f"/deployments/name/retrain/{DATASET}"

    def queues() -> bool:
        options = team.runs.ask(name)["concurrency_options"]
        return bool(options["collision_strategy"] == "ENQUEUE")

    team.runs.until(queues, "the contract was registered again")
    first = team.start(from_stage="evaluate")
    team.runs.until(lambda: evaluates(team, first), "it evaluates")
    second = team.start()
    ends = [team.runs.ended(run) for run in (first, second)]
    assert [end["state_name"] for end in ends] == ["Published", "Published"]
    assert ends[0]["end_time"] < ends[1]["start_time"]
    holds(team.folder, first, second)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["cpu", "gpu"])
def test_a_retrain_outlives_a_worker_that_is_killed_while_it_trains(team: Team, pool: str) -> None:
    run = team.start(overrides=[f"recipe.seed={len(pool) + ord(pool[0])}"])
    training = team.runs.trains(run)["id"]
    struck = {"cpu": run, "gpu": training}[pool]
    assert of_run(struck)
    kill(team.part("worker", pool))
    assert all_gone(struck), "a flow's process outlived its worker"
    ended = team.runs.ended(run, within=400)
    assert ended["state_name"] == "Published", ended["state"]
    assert len(team.runs.children(run)) == {"cpu": 1, "gpu": 2}[pool]
    holds_for_another(team, run, training)


def holds_for_another(team: Team, *runs: str) -> None:
    """Hold that no slot is taken by the dead: a run that is started now ends well."""
    assert all_gone(*runs)
    whole(team.folder / ".polycast")
    following = team.start()
    assert team.runs.ended(following, within=120)["state_name"] == "Published"


# One command's own faults


@pytest.fixture
def alone(team: Team, tmp_path: Path) -> dict[str, str]:
    """Return the environment of commands on a storage root of their own, beside the team's."""
    write_contract(tmp_path, gate=GATE)
    root = tmp_path / ".polycast"
    root.mkdir()
    return {"POLYCAST_HOME": str(root), "PREFECT_API_URL": f"{team.prefect}/api"}


def may_mount() -> bool:
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return not subprocess.run(tried, check=False, capture_output=True).returncode


FILLED = """
mount -t tmpfs -o size=600k tmpfs "$POLYCAST_HOME" || exit 9
"$@"; echo "ended with $?"
find "$POLYCAST_HOME" -name manifest.json | wc -l
find "$POLYCAST_HOME" -mindepth 4 -maxdepth 4 -type d | wc -l
mount -o remount,size=100m "$POLYCAST_HOME" || exit 9
"$@"; echo "ended with $?"
"""


@pytest.mark.slow
@pytest.mark.skipif(
    "POLYCAST_ALL_PARTS" not in os.environ and not may_mount(),
    reason="no file system of one's own can be mounted here",
)
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    alone: dict[str, str], tmp_path: Path
) -> None:
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", FILLED, "sh", *command("retrain", DATASET)],
        cwd=tmp_path,
        env=surroundings(alone),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    before, after = result.stdout.split("ended with 1\n")
    assert "no room is left on the disk of" in result.stderr
    assert "Make room, and run again: finished stages are not done again" in result.stderr
    assert "Traceback" not in result.stderr
    complete, folders = after.split("\n")[:2]
    assert complete == folders, "a half-written folder stays"
    assert before.count("✔") == int(complete) == after.count("↺")
    assert after.endswith("ended with 0\n")
    assert f"Published {DATASET} version 1" in after


@pytest.mark.slow
def test_of_two_commands_at_once_the_second_waits_and_finds_all_done(
    alone: dict[str, str], tmp_path: Path
) -> None:
    both = [
        subprocess.Popen(
            command("retrain", DATASET),
            cwd=tmp_path,
            env=surroundings(alone),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(text.count("↺ ") for text in said) == [0, 7], said
    assert all(f"Published {DATASET} version 1" in text for text in said), said
    holds_alone(alone, tmp_path)


def holds_alone(alone: dict[str, str], folder: Path) -> None:
    """Hold that a storage root is whole, and that its dataset is up to date."""
    whole(Path(alone["POLYCAST_HOME"]))
    again = polycast(folder, "retrain", DATASET, **alone)
    assert f"Already up to date: {DATASET} version" in again.stdout, again.stdout + again.stderr


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
SLEEP = """
import select, time
# libfaketime takes Python's way of sleeping, until a moment of the monotonic clock, for an error.
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


@dataclass(frozen=True)
class Clock:
    """The clock of the processes that are started in its environment, and of no others."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        (self.folder / "sitecustomize.py").write_text(SLEEP, "utf-8")
        return {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{surroundings({})['PYTHONPATH']}",
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "offset"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, offset: str) -> None:
        """Have the clock differ from the machine's from now on, such as by +1d."""
        draft = self.folder / "offset.part"
        draft.write_text(offset, "utf-8")
        draft.replace(self.folder / "offset")


@pytest.mark.slow
@pytest.mark.skipif(
    FAKETIME is None and "POLYCAST_ALL_PARTS" not in os.environ,
    reason="the system package libfaketime is not installed",
)
def test_a_clock_that_jumps_loses_nothing(alone: dict[str, str], tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    clock.jump("+0")
    environment = {**alone, **clock.environment}
    jumps = {"ingest": "+1d", "preprocess": "-1h", "train": "+1d", "judge": "-1h"}
    said = ""
    with subprocess.Popen(
        command("retrain", DATASET),
        cwd=tmp_path,
        env=surroundings(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            ended = next((stage for stage in jumps if line.startswith(f"✔ {stage} ")), None)
            if ended is not None:
                clock.jump(jumps[ended])
        assert process.wait(60) == 0, said
    assert said.count("✔ ") >= 8, said
    for seed, offset in ((2, "+1d"), (3, "-1h")):
        clock.jump(offset)
        later = polycast(
            tmp_path, "retrain", DATASET, "--set", f"recipe.seed={seed}", **environment
        )
        assert later.returncode == 0, later.stdout + later.stderr
        assert f"Published {DATASET} version {seed}" in later.stdout
    shown = polycast(tmp_path, "show", DATASET, **alone)
    assert "version 3" in shown.stdout, shown.stdout + shown.stderr
    whole(Path(alone["POLYCAST_HOME"]))
