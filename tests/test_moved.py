"""A champion that moves while a candidate is judged: it is judged again, and not trained again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tasks import registry
from tasks.journal import ChampionMoved, moves
from tasks.records import Run
from tasks.runs import runs
from tests.builders import CANDIDATE, small_contract, small_rows
from tests.walk import polycast, surroundings

MODEL = "few"
CONTRACT: dict[str, Any] = {
    "format": 1,
    "dataset": MODEL,
    "source": {"kind": "parquet", "path": "../rows.parquet"},
    "key": ["id"],
    "features": {"x": {}, "z": {}},
    "targets": {"a": {"unit": "K"}},
    "split": {"kind": "random"},
    "recipe": {"architecture": "shared", "hidden": [4], "epochs": 2, "learning_rate": 0.05},
    "evaluation": {"baselines": ["mean"]},
    "gate": {"rules": [{"rule": "absolute", "metric": "rmse", "at_most": 1e6}]},
}
MOVES = """
import sys
import tasks.publish
from tasks import registry
from tasks.journal import move

publish, waiting = tasks.publish.publish, ["another"]

def moved(contract, candidate, verdict):
    if waiting:
        client, old = registry.client(), registry.champion("few")
        kept = client.get_model_version("few", old.version)
        tags = {**old.tags, "polycast.candidate": waiting.pop()}
        made = client.create_model_version("few", kept.source, tags=tags, model_id=kept.model_id)
        move("few", str(made.version), before=old.version, kind="promote", by="test")
    return publish(contract, candidate, verdict)

tasks.publish.publish = moved
from flows.cli import main
sys.argv[0] = "polycast"
main()
"""
"""`polycast` in a world where somebody promotes another version just before it publishes."""


@pytest.mark.slow
def test_a_candidate_is_judged_again_by_the_champion_that_came_meanwhile(
    tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(small_rows(120).drop_columns("_row"), tmp_path / "rows.parquet")
    file = tmp_path / "data_contracts" / f"{MODEL}.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(CONTRACT), "utf-8")
    home = str(tmp_path / ".polycast")
    first = polycast(tmp_path, "retrain", MODEL, PREFECT_API_URL=api)
    assert first.returncode == 0, first.stdout + first.stderr
    second = subprocess.run(
        [sys.executable, "-c", MOVES, "retrain", MODEL, "--set", "recipe.seed=1"],
        cwd=tmp_path,
        env=surroundings({"PREFECT_API_URL": api}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stderr == ""
    told = (
        "↻ publish    moved     few: version 1 was champion when this began, and now version 2 is"
    )
    assert told in second.stdout
    assert second.stdout.count("✔ train") == 1
    assert second.stdout.count("✔ evaluate") == 2

    monkeypatch.setenv("POLYCAST_HOME", home)
    made = next(runs(MODEL)).publication
    assert (made.version, made.verdict.scores.champion) == ("4", "2")
    tags = {v.version: v.tags for v in registry.versions(registry.client(), f"name = '{MODEL}'")}
    assert {n: t[registry.OPPONENT_TAG] for n, t in tags.items() if n != "2"} == {
        "1": "", "3": "1", "4": "2"
    }  # fmt: skip
    kept = registry.contract_file(MODEL, "4")
    assert kept is not None
    assert (
        json.loads(kept.with_name("verdict.json").read_text("utf-8"))["scores"]["champion"] == "2"
    )
    assert [m.version for m in moves(MODEL)] == ["1", "2", "4"]
    again = polycast(tmp_path, "retrain", MODEL, "--set", "recipe.seed=1")
    assert "Already up to date: few version 4" in again.stdout, again.stdout + again.stderr


def test_a_champion_that_moves_all_the_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import retrain

    judged = []

    def moved(*_: Any) -> Run:
        raise ChampionMoved("version 1 was champion")

    monkeypatch.setattr(retrain, "_judged", lambda *_: judged.append("once"))
    monkeypatch.setattr(retrain, "_published", moved)
    with pytest.raises(ChampionMoved, match="It has moved 10 times while"):
        retrain._judged_and_published(small_contract(), CANDIDATE)
    assert len(judged) == 10
