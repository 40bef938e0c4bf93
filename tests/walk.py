"""A small slice of the default dataset, and `polycast` run on it as a user would."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

DATASET = "nyc_slice"


def write_contract(folder: Path, **changes: Any) -> Path:
    """Write the contract of two months of nyc_weather into `folder`/data_contracts."""
    text = files("data_contracts").joinpath("nyc_weather.yaml").read_text("utf-8")
    contract = yaml.safe_load(text)
    contract["dataset"] = DATASET
    contract["source"]["query"] += "WHERE now.time_hour < TIMESTAMP '2013-03-01'"
    contract["expectations"]["table"] = [{"check": "row_count", "min": 4000}]
    contract["expectations"]["tolerance"] = 0.01
    contract["recipe"] = {"base": "shared_128_64", "batch_size": 256, "epochs": 3}
    contract["gate"] = {"rules": [{"rule": "baseline", "baseline": "mean"}, {"rule": "champion"}]}
    # Trees cost more seconds than all else that evaluation does.
    contract["evaluation"] = {"baselines": ["mean", "persistence", "ridge"]}
    contract |= changes
    file = folder / "data_contracts" / f"{DATASET}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(contract, allow_unicode=True, sort_keys=False), "utf-8")
    return file


def polycast(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in `folder`, where its state goes too."""
    return subprocess.run(
        command(*words),
        cwd=folder,
        env=surroundings(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def command(*words: str) -> list[str]:
    """Return the command line of `polycast` with these words."""
    return [sys.executable, "-m", "flows", *words]


def surroundings(changes: dict[str, str]) -> dict[str, str]:
    """Return this environment without addresses of other servers and folders."""
    ours = ("POLYCAST_", "MLFLOW_", "PREFECT_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    root = str(Path(__file__).parents[1])
    return kept | {"PYTHONPATH": root, "COLUMNS": "100"} | changes


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """Yield the address of a Prefect server whose files are in `folder`."""
    from flows.guard import guarded
    from flows.server import HOST, SERVER, free_port, wait_for

    port = str(free_port())
    settings = {"PREFECT_HOME": str(folder), "PREFECT_UI_ENABLED": "0"}
    settings["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    log = folder / "server.log"
    with guarded([*SERVER, "--host", HOST, "--port", port], log, surroundings(settings)) as process:
        wait_for(process, f"http://{HOST}:{port}/api/health", log)
        yield f"http://{HOST}:{port}/api"


def readme(mark: str) -> str:
    """Return the block of the README that follows a mark."""
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.+?)\n```", text, re.S)
    assert found is not None, mark
    return found[1]
