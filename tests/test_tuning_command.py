"""`polycast tune` as a user runs it, and a retrain that tunes."""

import json
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from flows.searching import trials_table
from tasks.tuning.result import Tuned
from tasks.tuning.trial import Trial
from tests.walk import polycast, write_contract

SPACE = {"learning_rate": [0.001, 0.003]}
RECIPE = {"base": "shared_128_64", "batch_size": 256, "epochs": 2, "learning_rate": 1e-5}


def test_a_contract_that_came_with_polycast_is_not_written_into(tmp_path: Path) -> None:
    result = polycast(tmp_path, "tune", "nyc_weather", "--apply")
    assert result.returncode == 2
    assert "Copy it to ./data_contracts/nyc_weather.yaml" in result.stderr
    assert not (tmp_path / ".polycast" / "tuning").exists()


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_a_sampler_that_is_not_installed_is_told_before_anything_is_done(tmp_path: Path) -> None:
    result = polycast(tmp_path, "tune", "nyc_weather", "--set", "tuning.sampler=gp")
    assert result.returncode == 1
    assert "pip install 'polycast[tuning-gp]'" in result.stderr
    assert result.stdout == ""


def test_the_terminal_shows_the_trials_on_the_front_and_what_they_cost() -> None:
    errors = [0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16]
    latency = [6.0, 3.5, 6.5, 6.5, 6.5, 0.5, 6.5]
    trials = [
        Trial(
            number=i,
            origin="random" if i else "contract",
            changes={"hidden": [8 * i]},
            recipe={"architecture": "shared"},
            state="complete",
            values={"error": error, "latency": cost, "parameters": 1200.0},
        )
        for i, (error, cost) in enumerate(zip(errors, latency, strict=True))
    ]
    found = Tuned(
        dataset="x", study="tuning/x/y", trials=7, pruned=0, failed=0, taken_over=0,
        own_error=0.10, best=trials[0], front=(0, 1, 5),
    )  # fmt: skip
    out = StringIO()
    Console(width=120, file=out).print(trials_table(found, trials))
    shown = out.getvalue()
    lines = [line.split()[0] for line in shown.splitlines() if "hidden" in line]
    assert lines == ["0", "1", "2", "3", "4", "5"]
    assert "ms per 1,000 rows" in shown
    assert "(the contract's own, on the front)" in shown
    (last,) = (line for line in shown.splitlines() if "hidden: [40]" in line)
    assert last.split()[:4] == ["5", "0.1500", "0.50", "1,200"]
    assert last.rstrip().endswith("(on the front)")


@pytest.mark.slow
def test_the_command_tunes_applies_and_a_retrain_tunes_by_itself(tmp_path: Path) -> None:
    tuning = {"space": SPACE, "strategy": "grid", "pruning": "none"}
    file = write_contract(tmp_path, tuning=tuning, recipe=RECIPE)
    result = polycast(tmp_path, "tune", "nyc_slice", "--apply", "--trials", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "3 trials, 0 pruned, 0 failed" in result.stdout
    contract = yaml.safe_load(file.read_text("utf-8"))
    best = contract["recipe"]["learning_rate"]
    assert best in SPACE["learning_rate"]
    assert f"+  learning_rate: {best}" in result.stdout
    (page,) = tmp_path.glob(".polycast/tuned/nyc_slice/*/*/report.html")
    assert "Best recipe" in page.read_text("utf-8")

    contract["recipe"] = RECIPE
    contract["tuning"]["minutes"] = 3
    file.write_text(yaml.safe_dump(contract), "utf-8")
    result = polycast(tmp_path, "retrain", "nyc_slice")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "✔ tune" in result.stdout
    (run,) = tmp_path.glob(".polycast/runs/nyc_slice/*/*/contract.json")
    trained = json.loads(run.read_text("utf-8"))
    assert trained["recipe"]["learning_rate"] == best
    assert "below the contract's own" in trained["tuning"]["found"]
    (report,) = tmp_path.glob(".polycast/runs/nyc_slice/*/*/report.html")
    assert "below the contract" in report.read_text("utf-8")
    again = polycast(tmp_path, "retrain", "nyc_slice")
    assert "Already up to date" in again.stdout
