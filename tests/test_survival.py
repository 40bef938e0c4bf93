"""A run of training that is killed goes on, to the weights of one that never was."""

import random
import time
from pathlib import Path

import pytest

from tests.surviving import CASES, begin, result


def ended(case: str, folder: Path, epochs: int) -> tuple[object, float]:
    """Return what a run that nobody kills leaves, and how long it took after it had begun."""
    process = begin(case, folder, epochs)
    while process.is_alive() and not (folder / "begun").exists():
        time.sleep(0.005)
    start = time.monotonic()
    process.join()
    assert process.exitcode == 0, (folder / "log").read_text("utf-8")
    return result(folder), time.monotonic() - start


def killed(case: str, folder: Path, epochs: int, wait: float, begun: bool) -> bool:
    """Kill a run after a time; say whether it was still there."""
    process = begin(case, folder, epochs)
    while begun and process.is_alive() and not (folder / "begun").exists():
        time.sleep(0.005)
    process.join(wait)
    process.kill()
    process.join()
    return process.exitcode != 0


def goes_on(case: str, folder: Path, kills: int, epochs: int, seed: int) -> None:
    """Hold that runs which are killed at random moments end as one that is not."""
    wanted, took = ended(case, folder / "whole", epochs)
    draw, count = random.Random(seed), 0
    while count < kills:
        place = folder / f"killed_{count}"
        while count < kills and killed(
            case, place, epochs, draw.uniform(0, took), draw.random() < 0.75
        ):
            count += 1
        found, _ = ended(case, place, epochs)
        assert found == wanted
    assert "goes on in epoch" in (place / "log").read_text("utf-8")


def test_a_run_that_is_killed_ends_as_one_that_is_not(tmp_path: Path) -> None:
    goes_on("adam", tmp_path, kills=1, epochs=12, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_runs_killed_twenty_times_end_as_those_that_are_not(case: str, tmp_path: Path) -> None:
    goes_on(case, tmp_path, kills=5, epochs=30, seed=7)
