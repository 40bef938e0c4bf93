"""What XLA compiles is kept between processes, and goes when it is old."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.compiled import DAYS, keep_compiled

TRAIN = """
from tasks.compiled import keep_compiled
keep_compiled()
from tasks.backends import backend
machine = backend()
from tasks.learning.fitting import fit_network
from tests.builders import plain_layout, small_contract
from tests.test_training_options import TRAIN, VALIDATION
recipe = {"architecture": "shared", "hidden": [128, 64], "epochs": 1, "batch_size": 64}
contract = small_contract(recipe=recipe)
fit_network(contract, plain_layout(TRAIN), TRAIN, VALIDATION, None, machine)
"""


def files(home: Path) -> dict[Path, int]:
    found = (f for f in (home / "compiled").rglob("*") if f.is_file())
    return {f: f.stat().st_mtime_ns for f in found if not f.name.endswith("-atime")}


@pytest.mark.parametrize("name", ["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def test_a_second_process_compiles_nothing(tmp_path: Path, name: str) -> None:
    settings = {"KERAS_BACKEND": name, "POLYCAST_HOME": str(tmp_path)}
    # What trained in this process before has set the flags for its own home.
    plain = {k: v for k, v in os.environ.items() if k != "TF_XLA_FLAGS"}
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", TRAIN], check=True, env=plain | settings)
        kept.append(files(tmp_path))
    assert kept[0]
    assert kept[1] == kept[0]


def test_old_code_goes_and_flags_of_the_user_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYCAST_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    old, new = tmp_path / "compiled/one/old.pb", tmp_path / "compiled/one/new.pb"
    old.parent.mkdir(parents=True)
    for file in (old, new):
        file.touch()
    past = new.stat().st_mtime - (DAYS + 1) * 86_400
    os.utime(old, (past, past))
    keep_compiled()
    assert (old.exists(), new.exists()) == (False, True)
    assert os.environ["TF_XLA_FLAGS"].startswith("--tf_xla_clustering_debug --tf_xla_persistent")
