"""Run as a script: load a model where Polycast is not installed, let it answer, measure it.

    python -P -s answering.py RUNNER

RUNNER is a file with `load(folder)` and `predict(model, rows)`. What to answer comes as one line of
JSON on standard input: `folder` (the model), `rows` (a Parquet file of raw rows), `out` (a folder
for `answers.npy` and `measured.json`).
"""

import importlib.util
import json
import resource
import sys
import time
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

HIDDEN = {"flows", "data_contracts", "deployments", "tests"}
OUTSIDE = tuple(sys.path)
REPEATS = {1: 30, 10_000: 5}
"""By how many rows are asked for at once: how often, at most."""
PATIENCE = 1.0
"""Seconds after which no further answer is asked for."""


class NotInstalled:
    """Hides Polycast, but for the code that a model brings along."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where `tasks` is, if the model has brought it; nothing of others."""
        if name in HIDDEN:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
        if name != "tasks":
            return None
        brought = [place for place in sys.path if place not in OUTSIDE]
        found = PathFinder.find_spec(name, brought)
        if found is None:
            raise ModuleNotFoundError("tasks is not installed here", name=name)
        return found


def main() -> None:
    """Answer what is asked."""
    sys.meta_path.insert(0, NotInstalled())
    spec = importlib.util.spec_from_file_location("runner", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    model = runner.load(asked["folder"])
    loaded = time.perf_counter() - start
    rows = pq.read_table(asked["rows"])
    out = Path(asked["out"])
    np.save(out / "answers.npy", runner.predict(model, rows), allow_pickle=False)
    times: dict[str, float] = {}
    for count, most in REPEATS.items():
        copies = pa.concat_tables([rows] * -(-count // len(rows))).slice(0, count)
        times |= measured(lambda copies=copies: runner.predict(model, copies), count, most)
    found = {
        "load_seconds": loaded,
        "milliseconds": times,
        "peak": peak(),
    }
    (out / "measured.json").write_text(json.dumps(found), "utf-8")


def peak() -> int:
    """Return the most bytes of memory that this process took."""
    status = Path("/proc/self/status")
    if not status.exists():  # macOS, in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts what the parent took at the start as the child's in `ru_maxrss`.
    lines = (line.split() for line in status.read_text("ascii").splitlines())
    return next(int(line[1]) * 1024 for line in lines if line and line[0] == "VmHWM:")


def measured(answer: Any, count: int, most: int) -> dict[str, float]:
    """Return median and slow end of the milliseconds of an answer; the first one, which compiles,
    is left out."""
    import numpy as np

    answer()
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < most and (not taken or time.perf_counter() - start < PATIENCE):
        begun = time.perf_counter()
        answer()
        taken.append(1e3 * (time.perf_counter() - begun))
    slow = float(np.quantile(taken, 0.99, method="higher"))
    return {f"p50/{count}": float(np.median(taken)), f"p99/{count}": slow}


if __name__ == "__main__":
    main()
