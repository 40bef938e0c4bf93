"""From rows that shift to a retrain that begins by itself, on a real server and a real worker."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flows.server import HOST, free_port
from tests.following import Following
from tests.walk import command, surroundings

DATASET = "plant"
COUNT, LATER = 3_000, 500
CONTRACT: dict[str, Any] = {
    "format": 1,
    "dataset": DATASET,
    "source": {"kind": "parquet", "path": "../plant.parquet"},
    "key": ["hour"],
    "time": "hour",
    "features": {"load": {"unit": "MW"}, "unit": {"kind": "categorical"}},
    "targets": {"nox": {"unit": "mg/m³"}, "dust": {"unit": "mg/m³"}},
    "split": {"kind": "time", "gap": "1h"},
    "recipe": {"base": "shared_128_64", "hidden": [16], "epochs": 3, "batch_size": 50},
    "evaluation": {"baselines": ["mean"]},
    "gate": {"rules": [{"rule": "baseline", "baseline": "mean"}]},
    "monitoring": {"cron": "0 6 1 1 *", "window": "20d"},
}


def write_rows(file: Path, later: int = 0, shift: float = 0.0) -> None:
    """Write rows of which the `later` last have a load that is higher by `shift` deviations."""
    draw = np.random.default_rng(0)
    count = COUNT + later
    load = draw.normal(300, 50, count)
    load[COUNT:] += shift * 50
    hours = np.datetime64("2024-01-01T00", "us") + np.arange(count) * np.timedelta64(1, "h")
    # What the load was not in the train rows follows another law.
    bent = np.where(np.arange(count) >= COUNT, shift * 30.0, 0.0)
    rows = {
        "hour": hours,
        "load": load,
        "unit": draw.choice(["a", "b"], count),
        "nox": 0.5 * load + bent + draw.normal(size=count),
        "dust": 100 - 0.2 * load + draw.normal(size=count),
    }
    draft = file.with_suffix(".part")
    pq.write_table(pa.table(rows), draft)
    draft.replace(file)


def write_plant(folder: Path) -> None:
    write_rows(folder / "plant.parquet")
    file = folder / "data_contracts" / f"{DATASET}.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(CONTRACT, allow_unicode=True), "utf-8")


@dataclass(frozen=True)
class Team:
    """A folder with `polycast up` running over it."""

    folder: Path
    runs: Following

    def of(self, deployment: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment, oldest first, without those planned for later."""
        found = self.runs.ask(f"/deployments/name/{deployment}")
        asked = {"deployments": {"id": {"any_": [found["id"]]}}, "sort": "START_TIME_ASC"}
        runs: list[dict[str, Any]] = self.runs.ask("/flow_runs/filter", asked)
        return [r for r in runs if not r["auto_scheduled"]]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name."""
        asked = {"filter": {"event": {"name": [name]}}}
        found: list[dict[str, Any]] = self.runs.ask("/events/filter", asked)["events"]
        return found


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    write_plant(tmp_path)
    ports = [str(free_port()), str(free_port())]
    options = ["--prefect-port", ports[0], "--mlflow-port", ports[1], "--gpus", "0"]
    with (tmp_path / "up.log").open("w", encoding="utf-8") as log:
        up = subprocess.Popen(
            command("up", *options), cwd=tmp_path, env=surroundings({}), stdout=log, stderr=log
        )
    try:
        found = Team(tmp_path, Following(f"http://{HOST}:{ports[0]}/api"))
        found.runs.wait_for_workers("cpu")
        yield found
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, (tmp_path / "up.log").read_text("utf-8")


@pytest.mark.slow
def test_rows_that_shift_start_a_retrain(team: Team) -> None:
    first = team.runs.ended(team.runs.start(f"retrain/{DATASET}"), 900)
    assert first["state_name"] == "Published", first["state"]
    quiet = team.runs.ended(team.runs.start(f"monitor/{DATASET}"))
    assert quiet["state_type"] == "COMPLETED", quiet["state"]
    assert not team.events("polycast.drift")
    assert not team.events("polycast.decay")

    write_rows(team.folder / "plant.parquet", LATER, shift=2.0)
    watched = team.runs.ended(team.runs.start(f"monitor/{DATASET}"))
    assert watched["state_type"] == "COMPLETED", watched["state"]
    for name, words in (("drift", "load: "), ("decay", "nox: rmse ")):
        [event] = team.runs.until(lambda n=name: team.events(f"polycast.{n}"), f"the event {name}")
        assert event["resource"]["prefect.resource.id"] == f"polycast.dataset.{DATASET}"
        assert any(line.startswith(words) for line in event["payload"]["found"])
    text = team.runs.ask(f"/artifacts/{DATASET}-16-monitoring/latest")["data"]
    assert "| load | " in text
    assert "drifted: stability, distance" in text

    begun = team.runs.until(lambda: team.of(f"retrain/{DATASET}")[1:], "a retrain was started")
    ended = team.runs.ended(begun[0]["id"], 900)
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert ended["created_by"]["type"] == "AUTOMATION"
    assert len(team.of(f"retrain/{DATASET}")) == 2  # one, though there were two events
