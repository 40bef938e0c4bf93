"""Few rows from start to end: folds, the champion's recipe on the same folds, what is loaded."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.builders import small_rows
from tests.walk import polycast, surroundings

pytestmark = pytest.mark.slow

CONTRACT: dict[str, Any] = {
    "format": 1,
    "dataset": "few",
    "source": {"kind": "parquet", "path": "../rows.parquet"},
    "key": ["id"],
    "features": {"x": {}, "z": {}},
    "targets": {"a": {"unit": "K"}},
    "split": {"kind": "random"},
    "recipe": {"architecture": "shared", "hidden": [8], "epochs": 15, "learning_rate": 0.05},
    "gate": {"rules": [{"rule": "baseline", "baseline": "mean"}, {"rule": "champion"}]},
}
NOWHERE = "http://127.0.0.1:9/api"


def errors(output: str) -> list[str]:
    """Return the table's numbers for the target: the candidate's, then the other models'."""
    found = re.search(r"^ a K +(.*)$", output, re.M)
    assert found, output
    return found[1].split()


@pytest.mark.parametrize(("publish", "networks"), [("refit", 5), ("members", 4)])
def test_recipes_are_compared_on_the_same_folds_and_what_is_published_answers_with_intervals(
    tmp_path: Path, api: str, publish: str, networks: int
) -> None:
    pq.write_table(small_rows(120).drop_columns("_row"), tmp_path / "rows.parquet")
    evaluation = {"folds": 2, "repeats": 2, "baselines": ["mean"], "publish": publish}
    file = tmp_path / "data_contracts" / "few.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(CONTRACT | {"evaluation": evaluation}), "utf-8")
    first = polycast(tmp_path, "retrain", "few", PREFECT_API_URL=api)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "fold 4 of 4: epoch 1 of at most 15" in first.stdout
    assert first.stdout.count("epoch 1 of") == networks
    assert loaded(tmp_path) == ["a", "a_low", "a_high"]

    change = ("retrain", "few", "--set", "recipe.epochs=1")
    second = polycast(tmp_path, *change, PREFECT_API_URL=api)
    assert second.returncode == 3, second.stdout + second.stderr
    assert second.stdout.count("epoch 1 of") == networks, "the champion's folds were there"
    assert errors(second.stdout)[1] == errors(first.stdout)[0]
    again = polycast(tmp_path, *change, PREFECT_API_URL=NOWHERE)
    assert "nothing has changed since" in again.stdout, again.stdout + again.stderr


def loaded(folder: Path) -> list[str]:
    """Return the columns that the champion answers raw rows with, none of them missing."""
    program = f"""
import mlflow, pandas as pd
mlflow.set_tracking_uri("sqlite:///{folder / ".polycast" / "registry" / "mlflow.db"}")
model = mlflow.pyfunc.load_model("models:/few@champion")
found = model.predict(pd.read_parquet("rows.parquet"), params={{"interval": 0.9}})
assert len(found) == 120 and found.notna().all().all()
print(*found.columns)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=surroundings({"TF_CPP_MIN_LOG_LEVEL": "3"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()
