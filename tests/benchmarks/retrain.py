"""The main job's time: stage by stage, with a server of its own, and the second run.

python -m tests.benchmarks.retrain [--quick] [--json FILE]
"""

import re
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.harness import Figures, run
from tests.walk import polycast


def measure(quick: bool) -> Figures:
    """Retrain nyc_weather twice in a fresh folder; `quick` trains five epochs at most."""
    words = ["retrain", "nyc_weather", *(["--set", "recipe.epochs=5"] if quick else [])]
    with tempfile.TemporaryDirectory() as folder:
        first, output = _timed(Path(folder), words)
        second, repeated = _timed(Path(folder), words)
    if "Published" not in output or "Already up to date" not in repeated:
        sys.exit(f"the run did not publish:\n{output}")
    stages = {f"{s}_s": float(t) for s, t in re.findall(r"^✔ (\w+) +([\d.]+) s", output, re.M)}
    inside = sum(stages.values())
    return {
        "first_run_s": first,
        "second_run_s": second,
        "second_of_first": second / first,
        "stages_of_first": inside / first,
        **stages,
    }


def _timed(folder: Path, words: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    result = polycast(folder, *words)
    return time.perf_counter() - start, result.stdout + result.stderr


if __name__ == "__main__":
    run(measure, "The main job: retrain nyc_weather, twice")
