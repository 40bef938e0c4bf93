"""The compose file's topology as processes on loopback: a retrain goes through it, and outlives
each of its parts. PostgreSQL, object storage, both servers and both workers are real ones."""

import time
from collections.abc import Iterator

import pytest

from tests.processes import all_gone
from tests.topology import Topology, kill, needs_postgres, topology
from tests.walk import DATASET, write_contract

pytestmark = [pytest.mark.slow, needs_postgres()]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp("topology")
    write_contract(folder)
    with topology(folder) as found:
        yield found


def start(team: Topology, seed: int) -> str:
    """Start a retrain on the workers, which trains anew for its seed; return its id."""
    overrides = [f"recipe.seed={seed}"]
    return team.runs.start(f"retrain/{DATASET}", dataset=DATASET, overrides=overrides)


def test_a_retrain_goes_through_all_parts(team: Topology) -> None:
    shown = team.polycast("retrain", DATASET, "--remote")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"{DATASET} version 1, alias champion" in shown.stdout
    again = team.polycast("retrain", DATASET)
    assert f"Already up to date: {DATASET} version 1" in again.stdout


def test_a_retrain_outlives_postgresql_that_is_killed(team: Topology) -> None:
    run = start(team, 1)
    training = team.runs.trains(run)
    kill(team.database.service)
    time.sleep(20)
    team.database.start_again()
    ended = team.runs.ended(run)
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert all_gone(run, training["id"])


def test_a_retrain_outlives_a_minute_without_storage(team: Topology) -> None:
    run = start(team, 2)
    training = team.runs.trains(run)
    team.way.shut()
    time.sleep(60)
    team.way.open()
    ended = team.runs.ended(run)
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert all_gone(run, training["id"])
