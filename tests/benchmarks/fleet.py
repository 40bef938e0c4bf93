"""What many small datasets cost: one command each, together, two at once, and on Ray.

`python -m tests.benchmarks.fleet` retrains the same small datasets in each of these ways, each in a
folder of its own, and prints seconds, processor seconds, memory and storage per dataset. Ratios
of one run can be compared with one another, figures of two machines cannot.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.benchmarks.harness import Figures, run
from tests.walk import command, surroundings, write_contract

ALL = ("retrain", "--where", "dataset=set_*")


def write_contracts(folder: Path, count: int) -> list[str]:
    """Write contracts of the same rows; return their names."""
    file = write_contract(folder)
    contract = yaml.safe_load(file.read_text("utf-8"))
    file.unlink()
    names = [f"set_{number:03d}" for number in range(count)]
    for name in names:
        text = yaml.safe_dump(contract | {"dataset": name}, sort_keys=False, allow_unicode=True)
        (file.parent / f"{name}.yaml").write_text(text, "utf-8")
    return names


def retrain(folder: Path, *words: str, **environment: str) -> None:
    """Run the command. Raises CalledProcessError where it does not publish."""
    subprocess.run(
        command(*words),
        cwd=folder,
        env=surroundings(environment),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def measured(figures: Figures, way: str, count: int, *asked: tuple[str, ...]) -> None:
    """Retrain in a way, from nothing, and note what one dataset took."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        folder = Path(name)
        datasets = write_contracts(folder, count)
        engine = "ray" if way == "ray" else "local"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        for words in asked or [("retrain", dataset) for dataset in datasets]:
            retrain(folder, *words, POLYCAST_ENGINE=engine)
        took = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        figures[f"{way}: s per dataset"] = took / count
        figures[f"{way}: CPU s per dataset"] = spent / count
        if way == "one command each":
            stored = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            figures["MB stored per dataset"] = stored / count / 1e6
            figures["largest process, MB"] = after.ru_maxrss / 1e3


def measure(quick: bool) -> Figures:
    """Return the figures of every way there is on this machine."""
    count = 2 if quick else 6
    figures: Figures = {"datasets": float(count), "cores": float(os.cpu_count() or 1)}
    measured(figures, "one command each", count)
    measured(figures, "together", count, ALL)
    measured(figures, "two at once", count, (*ALL, "--parallel", "2"))
    try:
        import prefect_ray  # noqa: F401
    except ModuleNotFoundError:
        return figures
    measured(figures, "ray", count, (*ALL, "--parallel", "2"))
    return figures


if __name__ == "__main__":
    sys.exit(run(measure, "What one small dataset costs"))
