"""The command line: help that teaches, and the exit code and the words of each fault."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.walk import DATASET, polycast, surroundings, write_contract

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
COMMANDS = (
    "retrain",
    "train",
    "approve",
    "reject",
    "tune",
    "init",
    "check",
    "quarantine",
    "predict",
    "models",
    "promote",
    "rollback",
    "diff",
    "reproduce",
    "prune",
    "monitor",
    "contracts",
    "show",
    "recipes",
    "schema",
    "serve",
    "up",
    "deploy",
    "doctor",
)


def test_help_names_every_command_and_every_exit_code() -> None:
    shown = polycast(Path(), "--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)
    assert all(f"{code} " in shown.stdout.split("Exit codes")[1] for code in range(6))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_stands_in_the_readme(name: str) -> None:
    assert polycast(Path(), name, "--help").returncode == 0
    assert f"`polycast {name}" in README


def test_help_imports_nothing_dear() -> None:
    program = (
        "import sys; sys.argv = ['polycast', '--help']\n"
        "from flows.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "dear = {'prefect', 'tensorflow', 'keras', 'mlflow', 'pandas', 'pyarrow', 'duckdb'}\n"
        "assert not dear & set(sys.modules), dear & set(sys.modules)\n"
    )
    environment = surroundings({})
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, stdout=-3)


def test_contracts_lists_shipped_and_own(tmp_path: Path) -> None:
    write_contract(tmp_path)
    shown = polycast(tmp_path, "contracts").stdout
    assert "nyc_weather" in shown
    assert DATASET in shown


def test_an_unknown_dataset_is_wrong_usage_and_names_the_nearest(tmp_path: Path) -> None:
    result = polycast(tmp_path, "retrain", "nyc_wether")
    assert result.returncode == 2
    assert "did you mean 'nyc_weather'?" in result.stderr


@pytest.mark.parametrize("name", ["../nyc_weather", "/etc/passwd", "a/b", ".."])
def test_a_name_that_leaves_the_folder_is_wrong_usage(tmp_path: Path, name: str) -> None:
    result = polycast(tmp_path, "retrain", name)
    assert result.returncode == 2
    assert "is no dataset name" in result.stderr


def test_a_contract_with_a_typo_is_wrong_usage_and_names_line_and_key(tmp_path: Path) -> None:
    file = write_contract(tmp_path)
    file.write_text(file.read_text("utf-8").replace("tolerance:", "tolerence:"), "utf-8")
    result = polycast(tmp_path, "check", DATASET)
    assert result.returncode == 2
    assert "expectations.tolerence" in result.stderr
    assert "did you mean 'tolerance'?" in result.stderr
    assert f"{DATASET}.yaml:" in result.stderr


def test_an_override_that_names_no_field_is_wrong_usage(tmp_path: Path) -> None:
    result = polycast(tmp_path, "retrain", "nyc_weather", "--set", "recipe.epoch=5")
    assert result.returncode == 2
    assert "--set recipe.epoch=5" in result.stderr
    assert "did you mean 'epochs'?" in result.stderr


@pytest.mark.parametrize("which", [("--all",), ("--where", "tag=x")])
def test_a_new_start_is_for_one_dataset(tmp_path: Path, which: tuple[str, ...]) -> None:
    result = polycast(tmp_path, "retrain", *which, "--rebaseline", "new sensors")
    assert result.returncode == 2
    assert "--rebaseline: expected one DATASET" in result.stderr


def test_a_run_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    result = polycast(tmp_path, "approve", "nowhere")
    assert result.returncode == 2
    assert "nowhere: expected the id of a run" in result.stderr


def test_a_missing_file_is_missing_data(tmp_path: Path) -> None:
    write_contract(tmp_path, source={"kind": "parquet", "path": "nowhere.parquet"})
    result = polycast(tmp_path, "retrain", DATASET)
    assert result.returncode == 4
    assert "no file at" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_cut_in_half_is_unreadable_data(tmp_path: Path, api: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": list(range(10_000))}), whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    write_contract(tmp_path, source={"kind": "parquet", "path": "../rows.parquet"})
    result = polycast(tmp_path, "check", DATASET, PREFECT_API_URL=api)
    assert result.returncode == 4, result.stderr
    assert "cannot be read" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_breach_ends_with_code_4_and_the_broken_expectations(tmp_path: Path) -> None:
    table = [{"check": "row_count", "min": 1_000_000}]
    write_contract(tmp_path, expectations={"table": table, "tolerance": 0.01})
    result = polycast(tmp_path, "check", DATASET)
    assert result.returncode == 4, result.stderr
    assert "1,000,000" in result.stderr
    assert list((tmp_path / ".polycast" / "validations").rglob("index.html"))


def test_check_says_that_the_data_keep_the_contract(tmp_path: Path, api: str) -> None:
    write_contract(tmp_path)
    result = polycast(tmp_path, "check", DATASET, PREFECT_API_URL=api)
    assert result.returncode == 0, result.stderr
    assert "keeps its contract" in result.stdout
    assert "wind_speed" in result.stdout


def test_check_says_what_it_only_warns_of(tmp_path: Path, api: str) -> None:
    checks: list[dict[str, Any]] = [
        {"check": "row_count", "min": 1_000_000},
        {"check": "fresh", "within": "1d"},
    ]
    table = [{**check, "severity": "warn"} for check in checks]
    write_contract(tmp_path, expectations={"table": table, "tolerance": 0.01})
    result = polycast(tmp_path, "check", DATASET, PREFECT_API_URL=api)
    assert result.returncode == 0, result.stderr
    assert "warning: rows: expected 1,000,000 or more, came 4," in result.stdout
    assert "warning: time_hour: expected the newest row within 1d, came 2013-" in result.stdout


def test_an_unknown_command_is_wrong_usage() -> None:
    assert polycast(Path(), "retrane").returncode == 2


def test_a_prefect_server_that_does_not_answer_is_told_in_a_sentence(tmp_path: Path) -> None:
    write_contract(tmp_path)
    address = "http://127.0.0.1:9/api"
    result = polycast(tmp_path, "check", DATASET, PREFECT_API_URL=address)
    assert result.returncode == 1
    assert f"no Prefect server answers at {address}" in result.stderr


def test_a_storage_root_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    result = polycast(tmp_path, "show", "nyc_weather", POLYCAST_HOME="nowhere://x")
    assert result.returncode == 1
    assert "the storage root nowhere://x cannot be used" in result.stderr
    assert "Traceback" not in result.stderr
