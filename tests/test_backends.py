"""The numeric core on JAX: those of its tests that see most of a backend.

All of them pass there too: `KERAS_BACKEND=jax pytest tests/test_architectures.py`, and so on.
"""

import subprocess
import sys
from pathlib import Path

from tests.walk import surroundings

ROOT = Path(__file__).parents[1]
CORE = {
    "test_losses": "test",
    "test_fit_many": "row_more or side_by_side",
    "test_epochs": "keras_takes0 or same_seed or asks_for",
    "test_outputs": "not in_units",
    "test_training_options": "adam] or muon] or mean_over or breaks or gradnorm or gradients",
    "test_architectures": "half or (0 and (gradient or another_process))",
    "test_joint_gaussian": "(likelihood or gradient) and not 50",
}
"""The files, and which of their tests: of an architecture, its steps, and its first options' slopes
and file."""


def test_the_core_passes_its_tests_on_jax() -> None:
    chosen = " or ".join(f"({name} and ({words}))" for name, words in CORE.items())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    result = subprocess.run(
        [*command, *(f"tests/{name}.py" for name in CORE)], cwd=ROOT,
        env=surroundings({"KERAS_BACKEND": "jax"}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout
