"""The whole flow on a small slice, run as a user runs it, on real parts."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.orchestration import artifact_key
from tests.walk import DATASET, command, polycast, surroundings, write_contract

STAGES = ["ingest", "validate", "preprocess", "train", "evaluate", "judge", "publish", "report"]


@dataclass(frozen=True)
class Walk:
    """A finished retrain: where, what it printed, and the server that it reported to."""

    folder: Path
    result: "subprocess.CompletedProcess[str]"
    api: str

    def again(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return polycast(self.folder, *words, PREFECT_API_URL=self.api)

    def state(self, *parts: str) -> Path:
        return self.folder.joinpath(".polycast", *parts)

    def filter(self, what: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.api}/{what}/filter",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, api: str) -> Walk:
    folder = tmp_path_factory.mktemp("walk")
    write_contract(folder)
    result = polycast(folder, "retrain", DATASET, PREFECT_API_URL=api)
    assert result.returncode == 0, result.stdout + result.stderr
    return Walk(folder, result, api)


def test_every_stage_is_shown_in_order_with_its_time(walk: Walk) -> None:
    shown = re.findall(r"^✔ (\w+) +[\d.]+ s", walk.result.stdout, re.M)
    assert shown == STAGES


def test_a_clean_run_writes_nothing_to_standard_error(walk: Walk) -> None:
    assert walk.result.stderr == ""


def test_the_training_shows_its_validation_loss(walk: Walk) -> None:
    assert re.search(r"epoch 1 of at most 3: loss [\d.]+, validation [\d.]+", walk.result.stdout)


def test_every_target_is_shown_in_its_unit_beside_the_baselines(walk: Walk) -> None:
    for target in ("temp_ahead °F", "humid_ahead %", "pressure_ahead mbar", "visib_ahead miles"):
        assert target in walk.result.stdout
    for model in ("candidate", "persistence", "ridge", "mean"):
        assert model in walk.result.stdout


def test_the_verdict_and_the_version_are_shown(walk: Walk) -> None:
    assert "Verdict: pass" in walk.result.stdout
    assert f"models:/{DATASET}@champion" in walk.result.stdout


def test_a_second_run_is_up_to_date_and_starts_neither_server_nor_tensorflow(walk: Walk) -> None:
    # An address where nothing answers: the run would fail if it asked a server.
    again = polycast(walk.folder, "retrain", DATASET, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert again.returncode == 0, again.stderr
    assert "Already up to date" in again.stdout


def test_python_dash_m_flows_is_the_command(walk: Walk) -> None:
    shown = walk.again("show", DATASET)
    assert shown.returncode == 0
    assert "champion: version 1" in shown.stdout
    assert "published" in shown.stdout


def test_the_quarantine_holds_the_impossible_wind_speed(walk: Walk) -> None:
    file = next(walk.state("validations").rglob("quarantine.parquet"))
    rows = pq.read_table(file)
    assert 1048.36058 in [round(v, 5) for v in rows["wind_speed"].to_pylist() if v is not None]
    assert any("wind_speed" in reason for reason in rows["_reasons"][0].as_py())


def test_the_run_manifest_names_every_stage_by_hash_and_its_versions(walk: Walk) -> None:
    file = next(walk.state("runs", DATASET).rglob("run.json"))
    manifest = json.loads(file.read_text("utf-8"))
    assert list(manifest["stages"]) == STAGES[:-1]
    assert all(len(stage["hash"]) == 64 for stage in manifest["stages"].values())
    assert manifest["environment"]["packages"]["tensorflow"]
    assert manifest["seed"] == 0
    assert Path(manifest["splits"]["file"]).is_file()


def test_the_report_is_one_file_that_fetches_nothing(walk: Walk) -> None:
    html = next(walk.state("runs", DATASET).rglob("report.html")).read_text("utf-8")
    assert "temp_ahead" in html
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", html)


def test_the_model_answers_raw_rows_in_a_process_without_polycast(walk: Walk) -> None:
    program = f"""
import sys, mlflow, pandas as pd
mlflow.set_tracking_uri("sqlite:///{walk.state("registry", "mlflow.db")}")
model = mlflow.pyfunc.load_model("models:/{DATASET}@champion")
rows = model.input_example.copy()
rows.loc[rows.index[0], "origin"] = "nowhere"
rows.loc[rows.index[1], "origin"] = None
rows.loc[rows.index[2], "temp_change_1h"] = float("nan")
raw = pd.read_parquet({str(next(walk.state("snapshots").rglob("rows.parquet")))!r})
assert len(model.predict(raw)) == len(raw)
raw = raw.head(5).assign(wind_dir=[0, 1, 2, 3, 4], temp=None, origin=pd.Categorical(["EWR"] * 5))
assert model.predict(raw).notna().all().all()
try:
    model.predict(raw.assign(dewp="damp"))
except Exception as error:
    assert "dewp: expected numbers, came text such as 'damp'" in str(error), error
else:
    raise AssertionError("text was taken for a number")
answers = model.predict(rows)
assert list(answers.columns)[0] == "temp_ahead", answers.columns
assert answers.notna().all().all()
assert answers["temp_ahead"].between(-40, 130).all()
sure = model.predict(rows, params={{"interval": 0.9}})
assert (sure["temp_ahead"] == answers["temp_ahead"]).all()
assert (sure["temp_ahead_low"] < sure["temp_ahead"]).all(), sure
assert (sure["temp_ahead"] < sure["temp_ahead_high"]).all(), sure
assert not [m for m in sys.modules if m.startswith(("flows", "data_contracts", "prefect"))]
print("answered", len(answers))
"""
    # -I leaves out the current folder and PYTHONPATH, so that only the model's own code is there.
    environment = surroundings({}) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH")
    result = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path = [p for p in sys.path if p]\n" + program],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "answered" in result.stdout, result.stderr


def test_no_part_of_the_published_model_is_a_pickle(walk: Walk) -> None:
    files = [f for f in walk.state("registry", "artifacts").rglob("*") if f.is_file()]
    assert files
    assert not [f for f in files if f.suffix in (".pkl", ".pickle", ".joblib")]


def test_the_version_has_its_card_as_description_and_beside_its_bundle(walk: Walk) -> None:
    (file,) = walk.state("registry", "artifacts").rglob("model_card.md")
    assert (file.parent / "bundle").is_dir()
    with sqlite3.connect(walk.state("registry", "mlflow.db")) as database:
        found = database.execute("SELECT description FROM model_versions").fetchall()
    assert file.read_text("utf-8").startswith(f"# {DATASET}\n")
    assert found[0][0].startswith(f"# {DATASET}\n")


def test_the_contract_that_a_run_left_behind_repeats_it(walk: Walk) -> None:
    file = next(walk.state("runs", DATASET).rglob("contract.json"))
    again = walk.again("retrain", str(file))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "up to date" in again.stdout


def test_prefect_shows_the_run_its_tags_its_tasks_and_its_artifacts(walk: Walk) -> None:
    runs = {r["name"]: r for r in walk.filter("flow_runs")}
    retrain = next(r for name, r in runs.items() if re.fullmatch(rf"{DATASET}-\d{{4}}-.*", name))
    assert retrain["state_type"] == "COMPLETED"
    assert DATASET in retrain["tags"]
    train = runs[f"{DATASET}-train"]
    assert train["parent_task_run_id"] is not None
    tasks = walk.filter("task_runs", flow_runs={"id": {"any_": [retrain["id"]]}})
    names = {t["name"].split("-")[0] for t in tasks if not t["name"].startswith("train")}
    assert names == set(STAGES) - {"train"}
    assert all(DATASET in t["tags"] for t in tasks if not t["name"].startswith("train"))
    artifacts = walk.filter("artifacts", flow_runs={"id": {"any_": [retrain["id"]]}})
    told = ("snapshot", "validation", "splits", "metrics", "verdict", "publication", "model-card")
    wanted = {artifact_key(DATASET, name) for name in (*told, "drift", "report")}
    assert {a["key"] for a in artifacts} >= wanted


def test_a_changed_recipe_reuses_validation_and_preprocessing(walk: Walk) -> None:
    again = walk.again("retrain", DATASET, "--set", "recipe.hidden=[16]")
    assert re.findall(r"^↺ (\w+)", again.stdout, re.M) == ["ingest", "validate", "preprocess"]
    assert "✔ train" in again.stdout
    assert "champion" in again.stdout


def test_a_changed_gate_only_judges_again_and_blocks_with_code_3(walk: Walk) -> None:
    # gate.rules[0] becomes a limit that no model reaches.
    rule = "gate.rules=[{rule: absolute, metric: rmse, targets: [temp_ahead], at_most: 0.001}]"
    again = walk.again("retrain", DATASET, "--set", rule)
    assert again.returncode == 3, again.stdout + again.stderr
    reused = re.findall(r"^↺ (\w+)", again.stdout, re.M)
    assert reused == ["ingest", "validate", "preprocess", "train", "evaluate"]
    assert "Blocked" in again.stdout
    repeated = walk.again("retrain", DATASET, "--set", rule)
    assert repeated.returncode == 3
    assert "Still blocked" in repeated.stdout


def test_a_changed_schedule_reruns_nothing(walk: Walk) -> None:
    again = walk.again("retrain", DATASET, "--set", 'schedule.cron="0 3 * * *"')
    assert again.returncode == 0
    assert "Already up to date" in again.stdout


def _kill_at(folder: Path, api: str, place: str) -> None:
    """Start a retrain, and SIGKILL it as soon as work appears below a place."""
    process = subprocess.Popen(
        command("retrain", DATASET),
        cwd=folder,
        env=surroundings({"PREFECT_API_URL": api}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    root = folder / ".polycast"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any((root / place).rglob("*-*-*")):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait()
    assert process.returncode == -signal.SIGKILL, f"the run ended before it reached {place}"


def _finish(folder: Path, api: str) -> None:
    result = polycast(folder, "retrain", DATASET, PREFECT_API_URL=api)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Published" in result.stdout
    assert "champion: version" in polycast(folder, "show", DATASET).stdout


def test_a_run_killed_while_it_trains_goes_on_from_the_shards(tmp_path: Path, api: str) -> None:
    write_contract(tmp_path)
    _kill_at(tmp_path, api, "candidates")
    result = polycast(tmp_path, "retrain", DATASET, PREFECT_API_URL=api)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.findall(r"^↺ (\w+)", result.stdout, re.M) == ["ingest", "validate", "preprocess"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["snapshots", "validations", "shards", "scores", "verdicts", "publications", "runs"],
)
def test_a_run_killed_in_any_stage_ends_well_when_started_again(
    tmp_path: Path, api: str, place: str
) -> None:
    write_contract(tmp_path)
    _kill_at(tmp_path, api, place)
    _finish(tmp_path, api)


@pytest.mark.slow
def test_a_run_with_no_server_running_uses_a_temporary_one_and_stays_clean(
    tmp_path: Path,
) -> None:
    write_contract(tmp_path)
    result = polycast(tmp_path, "retrain", DATASET)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "CancelledError" not in result.stdout
