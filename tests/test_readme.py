"""The README's blocks do what they say, and its tree and table name what there is."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from data_contracts.gate import Rule
from data_contracts.loading import load_contract
from data_contracts.monitoring import DriftLimits, Monitoring
from data_contracts.recipes import ARCHITECTURES
from data_contracts.recipes.brought import name_of
from tests.walk import polycast, readme, surroundings

ROOT = Path(__file__).parents[1]
KINDS = get_args(get_args(Rule)[0])
README = (ROOT / "README.md").read_text("utf-8")


def test_the_commands_to_install_are_one_line_each() -> None:
    assert "\n" not in readme("run")
    assert "\n" not in readme("test")
    assert readme("run").endswith("polycast retrain nyc_weather")


def test_the_main_job_publishes_and_the_python_block_loads_its_model(tmp_path: Path) -> None:
    # The block as it stands, after the command that it follows, cut to two epochs.
    made = polycast(tmp_path, "retrain", "nyc_weather", "--set", "recipe.epochs=2")
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stderr == ""
    result = subprocess.run(
        [sys.executable, "-c", readme("execute")],
        cwd=tmp_path,
        env=surroundings({"TF_CPP_MIN_LOG_LEVEL": "3"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "temp_ahead" in result.stdout


def test_the_example_contract_loads_and_its_data_keep_it(tmp_path: Path, api: str) -> None:
    file = tmp_path / "data_contracts" / "plant.yaml"
    file.parent.mkdir()
    file.write_text(readme("contract"), "utf-8")
    assert load_contract(str(file)).dataset == "plant"
    draw = np.random.default_rng(0)
    hours = np.arange("2024-01-01", "2024-02-01", dtype="datetime64[h]").astype("datetime64[us]")
    load = draw.uniform(100, 700, hours.size)
    rows = {
        "unit": ["a"] * hours.size,
        "hour": hours,
        "load": load,
        "feed": load / 10 + draw.normal(size=hours.size),
        "nox": load * 2,
        "yield": 50 + load / 20,
    }
    pq.write_table(pa.table(rows), tmp_path / "plant.parquet")
    result = polycast(tmp_path, "check", "plant", PREFECT_API_URL=api)
    assert result.returncode == 0, result.stderr
    assert "plant keeps its contract" in result.stdout


def test_the_recipe_block_fits_the_example_contract(tmp_path: Path) -> None:
    file = tmp_path / "data_contracts" / "plant.yaml"
    file.parent.mkdir()
    file.write_text(readme("contract").replace("recipe: shared_128_64", readme("recipe")), "utf-8")
    assert load_contract(str(file)).recipe.architecture == "multi_head"


def test_the_gate_block_and_each_rule_of_its_table_fit_the_example_contract(tmp_path: Path) -> None:
    file = tmp_path / "data_contracts" / "plant.yaml"
    file.parent.mkdir()
    above = readme("contract").split("gate:")[0]
    file.write_text(f"{above}\n{readme('gate')}\n", "utf-8")
    assert load_contract(str(file)).gate.insufficient == "ask"
    table = README.split("## The gate")[1].split("\n##")[0]
    shown = re.findall(r"`(\{rule: .+?\})`", table.split("<!-- gate -->")[0])
    named = {yaml.safe_load(rule)["rule"] for rule in shown}
    assert named == {get_args(rule.model_fields["rule"].annotation)[0] for rule in KINDS}
    presents = above.replace("unit: mg/m³,", "unit: mg/m³, present: load,")
    presents += "constraints: [nox >= 0]\n"
    for rule in shown:
        file.write_text(f"{presents}gate: {{rules: [{rule}]}}\n", "utf-8")
        assert len(load_contract(str(file)).gate.rules) == 1


def test_the_monitoring_block_fits_the_example_contract(tmp_path: Path) -> None:
    file = tmp_path / "data_contracts" / "plant.yaml"
    file.parent.mkdir()
    file.write_text(f"{readme('contract')}\n{readme('monitoring')}\n", "utf-8")
    watched = load_contract(str(file)).monitoring
    assert watched is not None
    assert watched.drift == DriftLimits()  # the limits that it shows are the defaults
    assert watched.decay == Monitoring().decay


def test_the_table_of_architectures_names_each_of_them() -> None:
    named = re.findall(r"^\| `(\w+)` \|", README.split("## Recipes")[1].split("##")[0], re.M)
    assert tuple(named) == tuple(map(name_of, ARCHITECTURES))


def test_the_tree_names_every_file_and_nothing_else() -> None:
    tree = README.split("## The tree")[1].split("```")[1].splitlines()[1:]
    named: set[Path] = set()
    folders: list[str] = []
    for line in tree:
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [name]
        if not name.endswith("/"):
            named.add(ROOT / "".join(folders))
    tops = ("data_contracts", "tasks", "flows", "deployments")
    files = {f for top in tops for f in (ROOT / top).rglob("*") if f.is_file()}
    unnamed = ("__init__.py", "py.typed")
    files = {f for f in files if f.name not in unnamed and "__pycache__" not in f.parts}
    assert named == files


def test_the_deployment_names_a_flow_that_can_be_imported() -> None:
    deployments = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text("utf-8"))
    for deployment in deployments["deployments"]:
        module, name = deployment["entrypoint"].rsplit(".", 1)
        program = f"from {module} import {name}; print({name}.name)"
        result = subprocess.run(
            [sys.executable, "-c", program],
            env=surroundings({"PREFECT_HOME": os.devnull + "-none"}),
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == name
