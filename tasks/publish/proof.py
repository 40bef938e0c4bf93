"""The proof: a registered model, loaded where Polycast is not installed, answers as the candidate.

In: a version's folder as the registry hands it out, the candidate's bundle and raw test rows. Out:
a Proof per format, with size, memory and latency. Raises Unproved: the version is then held.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.learning import checksums
from tasks.publish.clean_process import CleanProcess, Found, Unproved
from tasks.publish.kept import FORMATS
from tasks.records import Proof

if TYPE_CHECKING:
    from tasks.learning.bundle import Bundle

PYFUNC = "pyfunc"
RUNNERS = Path(__file__).parents[1] / "formats" / "runners"
TOLERANCE = 1e-5
"""How far an answer may be off, as a share of itself and of the target's standard deviation."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Raw test rows that a model is proved on."""

    rows: pa.Table
    """The columns that the model reads."""
    truth: Values
    """(rows, targets), NaN where missing."""


class Proving:
    """Clean processes, one a format, that are ready to load a model."""

    def __init__(self, processes: Mapping[str, CleanProcess], folder: Path) -> None:
        self._processes = processes
        self._folder = folder

    def prove(self, version: Path, bundle: "Bundle", sample: Sample) -> tuple[Proof, ...]:
        """Return what is measured of a version's folder. Raises Unproved."""
        artifacts = version / "artifacts"
        try:
            checksums.check(artifacts / checksums.NAME, artifacts)
        except (ValueError, OSError) as error:
            raise Unproved(f"its files are not what was published: {error}") from None
        rows = self._folder / "rows.parquet"
        pq.write_table(sample.rows, rows)
        expected = bundle.predict(sample.rows).mean
        made = []
        for name, process in self._processes.items():
            model = version if name == PYFUNC else artifacts / FORMATS / name
            try:
                found = process.answer(model, rows)
                worst = _off(found.answers, expected, sample.truth, bundle.targets)
            except Unproved as fault:
                raise Unproved(f"{name}: {fault}") from None
            made.append(_proof(name, model, found, worst, sample, bundle.targets))
        return tuple(made)


@contextmanager
def proving(formats: tuple[str, ...]) -> Iterator[Proving]:
    """Yield clean processes for pyfunc and some formats, which load their libraries meanwhile."""
    with TemporaryDirectory(prefix="polycast-proof-") as name, ExitStack() as stack:
        processes = {}
        for format_ in (PYFUNC, *formats):
            folder = Path(name) / format_
            folder.mkdir()
            runner = RUNNERS / f"{format_}.py"
            processes[format_] = stack.enter_context(CleanProcess(runner, folder))
        yield Proving(processes, Path(name))


def _off(answers: Values, expected: Values, truth: Values, targets: tuple[str, ...]) -> float:
    """Return the largest difference as a share of what is allowed. Raises Unproved above 1."""
    if answers.shape != expected.shape:
        raise Unproved(f"it answers with {answers.shape} numbers, the candidate {expected.shape}")
    spread = deviations(truth, expected)
    allowed = TOLERANCE * (np.abs(expected) + spread)
    same = (answers == expected) | (np.isnan(answers) & np.isnan(expected))
    share = np.where(same, 0.0, np.abs(answers - expected) / allowed)
    share = np.where(np.isnan(share), np.inf, share)
    if not share.size or share.max() <= 1:
        return float(share.max(initial=0.0))
    row, at = np.unravel_index(int(share.argmax()), share.shape)
    raise Unproved(
        f"{targets[at]}: the candidate answers {expected[row, at]:.9g} to row {row} of the sample, "
        f"this model {answers[row, at]:.9g}"
    )


def deviations(truth: Values, expected: Values) -> Values:
    """Return each target's standard deviation (targets,): of its truths, or else of its answers."""
    known = ~np.isnan(truth)
    rows = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, truth, 0.0).sum(axis=0) / rows
    found = np.sqrt(np.where(known, (truth - middle) ** 2, 0.0).sum(axis=0) / rows)
    return np.where(found > 0, found, expected.std(axis=0) if len(expected) else 0.0)


def _proof(
    name: str, model: Path, found: Found, worst: float, sample: Sample, targets: tuple[str, ...]
) -> Proof:
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
    return Proof(
        format=name,
        rows=len(sample.rows),
        worst=worst,
        rmse={t: _rmse(found.answers[:, i], sample.truth[:, i]) for i, t in enumerate(targets)},
        megabytes=size / 1e6,
        memory=found.peak / 1e6,
        load_seconds=found.load_seconds,
        milliseconds=found.milliseconds,
    )


def _rmse(answers: Values, truth: Values) -> float | None:
    known = ~(np.isnan(truth) | np.isnan(answers))
    return float(np.sqrt(np.mean((answers - truth)[known] ** 2))) if known.any() else None
