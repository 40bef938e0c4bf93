"""The numeric core on JAX: its tests once more, in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.walk import surroundings

ROOT = Path(__file__).parents[1]
CORE = {
    "test_losses": "",
    "test_outputs": "",
    "test_training_options": "optimizer or breaks or gradnorm or gradients",
    "test_architectures": "gradient or half or another_process",
    "test_joint_gaussian": "likelihood or gradient",
}
"""The files, and which of their tests: the ones that see most of a backend, since all take long."""


@pytest.mark.parametrize("name", CORE)
def test_the_core_passes_its_tests_on_jax(name: str) -> None:
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider"]
    command += ["-k", CORE[name]]
    result = subprocess.run(
        [*command, f"tests/{name}.py"], cwd=ROOT, env=surroundings({"KERAS_BACKEND": "jax"}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout
